/** What is shown of a run. */
export type RunView = "graph" | "timeline" | "tasks" | "input";

/** The views and their titles, in order. */
export const views: readonly { readonly view: RunView; readonly title: string }[] = [
  { view: "graph", title: "Graph" },
  { view: "timeline", title: "Timeline" },
  { view: "tasks", title: "Tasks" },
  { view: "input", title: "Input" },
];

/** What stands in the URL of a run. */
export interface RunSearch {
  readonly view?: RunView;
  /** Only the task executions of this task, in the view of the tasks. */
  readonly task?: string;
}

/** Reads the query of the URL; what it does not understand it leaves out. */
export function readRunSearch(query: Readonly<Record<string, unknown>>): RunSearch {
  const known = views.find(({ view }) => view === query["view"])?.view;
  const { task } = query;
  return {
    ...(known !== undefined && { view: known }),
    // The router reads a name made of digits as a number.
    ...((typeof task === "string" || typeof task === "number") && { task: String(task) }),
  };
}
