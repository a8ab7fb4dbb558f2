import { BaseEdge, type Edge, type EdgeProps, Position } from "@xyflow/react";
import { nodeSize, type Point } from "./layout.ts";

/** A line of the graph with the places that it passes. */
export type RoutedEdge = Edge<{ readonly waypoints: readonly Point[] }, "routed">;

/** How the lines of a graph are drawn. */
export const edgeTypes = { routed: RoutedLine };

function RoutedLine({
  sourceX,
  sourceY,
  targetX,
  targetY,
  sourcePosition,
  data,
  markerEnd,
}: EdgeProps<RoutedEdge>) {
  const isDown = sourcePosition === Position.Bottom;
  const { width, height } = nodeSize;
  let path = `M${sourceX},${sourceY}`;
  let from: Point = { x: sourceX, y: sourceY };
  for (const { x, y } of data?.waypoints ?? []) {
    const begin = isDown ? { x: x + width / 2, y } : { x, y: y + height / 2 };
    const end = isDown ? { x: x + width / 2, y: y + height } : { x: x + width, y: y + height / 2 };
    path += `${curve(from, begin, isDown)}L${end.x},${end.y}`;
    from = end;
  }
  path += curve(from, { x: targetX, y: targetY }, isDown);
  return <BaseEdge path={path} {...(markerEnd !== undefined && { markerEnd })} />;
}

/** A curve that leaves and arrives straight on. */
function curve(from: Point, to: Point, isDown: boolean): string {
  const x = (from.x + to.x) / 2;
  const y = (from.y + to.y) / 2;
  const [first, second] = isDown ? [`${from.x},${y}`, `${to.x},${y}`] : [`${x},${from.y}`, `${x},${to.y}`];
  return `C${first} ${second} ${to.x},${to.y}`;
}
