import type { WorkerEvent } from "../worker/events.ts";
import type { Task } from "../worker/task.ts";

/** Returns what tells of a worker's tasks of one run, as they come to their end. */
export function narrate(
  flowExecutionId: string,
  who: string,
  print: (line: string) => void,
): (event: WorkerEvent) => void {
  const begin = performance.now();
  const say = (task: Task, what: string) => {
    // Workers take what there is, also of another demo.
    if (task.flowExecutionId !== flowExecutionId) return;
    const seconds = ((performance.now() - begin) / 1000).toFixed(2).padStart(5);
    const item = task.iteration === undefined ? "" : `[${task.iteration}]`;
    const attempt = task.attempt > 1 ? ` at attempt ${task.attempt}` : "";
    print(`  ${seconds} s  ${who}  ${`${task.name}${item}`.padEnd(15)} ${what}${attempt}`);
  };
  return (event) => {
    switch (event.type) {
      case "reported":
        say(event.task, event.error === undefined ? event.end : `failed: ${event.error}`);
        break;
      case "refused":
        say(event.task, `refused: ${event.message}`);
        break;
      case "lost":
        say(event.task, "lost");
        break;
      case "trouble":
        print(`  ${who}: ${event.error.message}; tries again`);
    }
  };
}
