/** A task of a recording. */
export const task = (id: string, parents: string[] = []) => ({
  id,
  name: id.toUpperCase(),
  parents,
  inputFiles: ["in"],
});

/** What running a task took. */
export const ran = (id: string, runtimeInSeconds = 1) => ({ id, runtimeInSeconds, avgCPU: 50 });

/** Returns a recording in WfFormat 1.5. */
export function recording(tasks: object[], executed: object[], more: object = {}): string {
  return JSON.stringify({
    name: "made up",
    schemaVersion: "1.5",
    workflow: {
      specification: { tasks, files: [{ id: "in", sizeInBytes: 7 }] },
      execution: { executedAt: "2026-01-01T00:00:00Z", tasks: executed },
    },
    ...more,
  });
}
