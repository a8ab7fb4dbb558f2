import "@xyflow/react/dist/base.css";
import {
  Background,
  Controls,
  getViewportForBounds,
  MarkerType,
  ReactFlow,
  type ReactFlowInstance,
} from "@xyflow/react";
import { useMemo, useRef } from "react";
import type { Flow } from "../../../gen/taskledger/v1/flow_pb.ts";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { edgeId, layOut, nodeSize } from "./layout.ts";
import { useIsNarrow } from "./narrow.ts";
import { taskStates } from "./newest.ts";
import { edgeTypes, type RoutedEdge } from "./routed-edge.tsx";
import { nodeTypes, type TaskNode } from "./task-box.tsx";
import "./graph.css";

/** What a graph shows. */
export interface GraphProps {
  readonly flow: Flow;
  /** The run whose records colour it. Without one the flow itself is shown. */
  readonly runId?: string;
  readonly tasks?: readonly TaskExecution[];
}

const noTasks: readonly TaskExecution[] = [];

/** The tasks of a flow and what they depend on, coloured by how far a run is. The table of tasks says the same. */
export function Graph({ flow, runId, tasks = noTasks }: GraphProps) {
  const direction = useIsNarrow() ? "down" : "right";
  const { places, waypoints, width, height } = useMemo(
    () => layOut(flow.tasks, direction),
    [flow, direction],
  );
  const states = useMemo(() => taskStates(tasks), [tasks]);
  const nodes = useMemo(
    () =>
      flow.tasks.map(
        ({ name, executor, forEach }): TaskNode => ({
          id: name,
          type: "task",
          position: places.get(name) ?? { x: 0, y: 0 },
          width: nodeSize.width,
          height: nodeSize.height,
          data: { name, note: noteOf(name, executor, forEach), state: states.get(name), runId, direction },
        }),
      ),
    [flow, places, states, runId, direction],
  );
  const edges = useMemo(
    () =>
      flow.tasks.flatMap(({ name, dependsOn }) =>
        dependsOn.map(
          (upstream): RoutedEdge => ({
            id: edgeId(upstream, name),
            type: "routed",
            data: { waypoints: waypoints.get(edgeId(upstream, name)) ?? [] },
            source: upstream,
            target: name,
            className: `edge is-${states.get(upstream)?.status ?? "none"}`,
            markerEnd: { type: MarkerType.ArrowClosed, color: "var(--border-strong)" },
          }),
        ),
      ),
    [flow, states, waypoints],
  );
  const section = useRef<HTMLElement>(null);
  const instance = useRef<ReactFlowInstance<TaskNode, RoutedEdge>>(null);
  // The lines count, too: they may pass by where there is no task.
  const fit = (flow: ReactFlowInstance<TaskNode, RoutedEdge>): void => {
    instance.current = flow;
    const { clientWidth = 0, clientHeight = 0 } = section.current ?? {};
    const bounds = { x: 0, y: 0, width, height };
    const least = direction === "down" ? 0.5 : 0.3;
    void flow.setViewport(getViewportForBounds(bounds, clientWidth, clientHeight, least, 1, 0.1));
  };
  return (
    <section
      ref={section}
      className="graph card"
      aria-label={`Graph of ${flow.tasks.length} tasks`}
      // No taller than what is in it, and never more than a part of the window.
      style={{ height: `clamp(240px, ${height * (direction === "down" ? 0.6 : 1) + 100}px, 62vh)` }}
    >
      <ReactFlow
        // What fits is worked out once.
        key={direction}
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        edgeTypes={edgeTypes}
        onInit={fit}
        minZoom={0.05}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        // The page scrolls; zooming is for the buttons and for two fingers.
        zoomOnScroll={false}
        preventScrolling={false}
        onlyRenderVisibleElements={flow.tasks.length > 200}
        proOptions={{ hideAttribution: true }}
      >
        <Background gap={22} size={1} color="var(--border)" />
        <Controls showInteractive={false} onFitView={() => instance.current && fit(instance.current)} />
      </ReactFlow>
    </section>
  );
}

/** Says what kind of task it is, where that is not plain from the name. */
function noteOf(name: string, executor: string, forEach: string): string {
  return [
    executor !== name && executor,
    forEach !== "" && `each of ${forEach.replaceAll(/[{}]/g, "").trim()}`,
  ]
    .filter(Boolean)
    .join(", ");
}
