import { BaseEdge, type Edge, type EdgeProps } from "@xyflow/react";
import { nodeSize, type Point } from "./layout.ts";

/** A line of the graph with the places that it passes. */
export type RoutedEdge = Edge<{ readonly waypoints: readonly Point[] }, "routed">;

/** How the lines of a graph are drawn. */
export const edgeTypes = { routed: RoutedLine };

function RoutedLine({ sourceX, sourceY, targetX, targetY, data, markerEnd }: EdgeProps<RoutedEdge>) {
  const { width, height } = nodeSize;
  let path = `M${sourceX},${sourceY}`;
  let from: Point = { x: sourceX, y: sourceY };
  for (const { x, y } of data?.waypoints ?? []) {
    const middle = y + height / 2;
    path += curve(from, { x, y: middle });
    path += `L${x + width},${middle}`;
    from = { x: x + width, y: middle };
  }
  path += curve(from, { x: targetX, y: targetY });
  return <BaseEdge path={path} {...(markerEnd !== undefined && { markerEnd })} />;
}

/** A curve that leaves and arrives level. */
function curve(from: Point, to: Point): string {
  const middle = (from.x + to.x) / 2;
  return `C${middle},${from.y} ${middle},${to.y} ${to.x},${to.y}`;
}
