import { readFile } from "node:fs/promises";
import { readRecording } from "../../../src/import/recording.ts";

/** A task of a flow that a script runs. */
export interface ChaosTask {
  readonly name: string;
  readonly dependsOn: readonly string[];
  /** The task whose items it is applied to. */
  readonly over?: string;
  /** What its worker does: how long it takes, how often it fails first, how many items it gives. */
  readonly work: { readonly ms: number; readonly fails: number; readonly items: number };
}

/** A flow that a script runs. */
export interface ChaosFlow {
  readonly name: string;
  readonly tasks: readonly ChaosTask[];
  readonly priority: number;
}

/** The one executor that all tasks need. */
export const executor = "chaos";

/**
 * Writes the definition of a flow. Each task is asked to do its work and given the outputs of all it depends on,
 * so that what it was made from can be checked.
 */
export function toDefinition({ name, tasks }: ChaosFlow, leaseMs: number): string {
  return JSON.stringify({
    name,
    tasks: tasks.map(({ name: task, dependsOn, over, work }) => ({
      name: task,
      executor,
      depends_on: dependsOn,
      input: {
        ...work,
        from: Object.fromEntries(dependsOn.map((upstream) => [upstream, `{{["${upstream}"].output}}`])),
        ...(over && { item: "{{item}}" }),
      },
      ...(over && { for_each: `{{["${over}"].output.items}}` }),
      retry: { max_attempts: 4, initial_backoff: "50ms", max_backoff: "200ms" },
      lease: `${leaseMs}ms`,
    })),
  });
}

/** Makes up a flow: levels of tasks with fan-out and fan-in, some of them loops, some of which fail at first. */
export function randomFlow(name: string, random: () => number): ChaosFlow {
  const int = (most: number) => Math.floor(random() * (most + 1));
  const levels: ChaosTask[][] = [];
  for (let level = 0; level < 3 + int(3); level++) {
    const before = levels.flat();
    const near = levels.at(-1) ?? [];
    const tasks = Array.from({ length: 1 + int(5) }, (_, index): ChaosTask => {
      const upstreams = new Set<string>();
      for (let count = near.length === 0 ? 0 : 1 + int(3); count > 0; count--) {
        const from = random() < 0.7 ? near : before;
        upstreams.add(from[int(from.length - 1)]!.name);
      }
      const sources = before.filter((task) => task.over === undefined && upstreams.has(task.name));
      const over = sources.length > 0 && random() < 0.25 ? sources[0]!.name : undefined;
      return {
        name: `t${level}-${index}`,
        dependsOn: [...upstreams],
        ...(over && { over }),
        work: {
          ms: 20 + int(900),
          fails: random() < 0.2 ? 1 + int(1) : 0,
          // An empty list now and then: its loop completes at once.
          items: random() < 0.1 ? 0 : 1 + int(5),
        },
      };
    });
    levels.push(tasks);
  }
  return { name, tasks: levels.flat(), priority: int(4) - 2 };
}

/** Makes a flow of a recorded run: its tasks in their order, each no longer than 300 ms. */
export async function recordedFlow(file: string): Promise<ChaosFlow> {
  const { name, levels } = readRecording(await readFile(file, "utf8"));
  const all = levels.flat();
  const longest = Math.max(1, ...all.map(({ startTime, endTime }) => endTime - startTime));
  const tasks = all.map(({ id, parents, startTime, endTime }) => ({
    name: id,
    dependsOn: [...new Set(parents)],
    work: { ms: Math.round(((endTime - startTime) / longest) * 300), fails: 0, items: 0 },
  }));
  return { name, tasks, priority: 0 };
}
