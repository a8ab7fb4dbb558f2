import { z } from "zod";

const name = z.string().min(1).max(200);

/** What we read of WfFormat 1.5: the tasks with their order and files, and what running them took. */
const schema = z.object({
  name: z.string().min(1),
  schemaVersion: z.literal("1.5"),
  workflow: z.object({
    specification: z.object({
      tasks: z
        .array(
          z.object({
            id: name,
            name,
            parents: z.array(z.string()),
            inputFiles: z.array(z.string()).default([]),
            outputFiles: z.array(z.string()).default([]),
          }),
        )
        .min(1)
        .max(10_000),
      files: z.array(z.object({ id: z.string(), sizeInBytes: z.number() })).default([]),
    }),
    execution: z.object({
      executedAt: z.string(),
      tasks: z.array(
        z
          .object({
            id: z.string(),
            runtimeInSeconds: z.number().nonnegative(),
            command: z.object({ program: z.string(), arguments: z.array(z.string()).default([]) }).optional(),
          })
          // Measured facts, such as avgCPU: kept as they are.
          .catchall(z.union([z.number(), z.string(), z.array(z.string())])),
      ),
    }),
  }),
});

/** One task that was run. Times in milliseconds since 1970; files by name and size in bytes, if that is known. */
export interface RecordedTask {
  readonly id: string;
  readonly executor: string;
  readonly parents: readonly string[];
  readonly command: { readonly program: string; readonly arguments: readonly string[] } | undefined;
  readonly inputFiles: readonly RecordedFile[];
  readonly outputFiles: readonly RecordedFile[];
  readonly facts: Readonly<Record<string, number | string | readonly string[]>>;
  readonly startTime: number;
  readonly endTime: number;
}

/** A file that a task read or wrote. */
export interface RecordedFile {
  readonly name: string;
  readonly sizeInBytes?: number;
}

/** A run that happened. The levels are its tasks in topological order: each after all its parents. */
export interface Recording {
  readonly name: string;
  readonly executedAt: string;
  readonly levels: readonly (readonly RecordedTask[])[];
}

/** A file that is no recording we can read. Its message says what is wrong with it. */
export class RecordingError extends Error {}

/**
 * Reads a recording.
 *
 * When a task started was not recorded: it is taken to have started when the last of its parents ended.
 *
 * @throws RecordingError
 */
export function readRecording(text: string): Recording {
  const { name: title, workflow } = parse(text);
  const { specification, execution } = workflow;
  const sizes = new Map(specification.files.map(({ id, sizeInBytes }) => [id, sizeInBytes]));
  const file = (id: string): RecordedFile => ({
    name: id,
    ...(sizes.has(id) && { sizeInBytes: sizes.get(id)! }),
  });
  const measured = new Map(execution.tasks.map((task) => [task.id, task]));
  const begin = parseTime(execution.executedAt);
  const done = new Map<string, RecordedTask>();
  const levels: RecordedTask[][] = [];
  let waiting = specification.tasks;
  expectKnown(waiting);
  while (waiting.length > 0) {
    const ready = waiting.filter(({ parents }) => parents.every((parent) => done.has(parent)));
    if (ready.length === 0) {
      throw new RecordingError(`the tasks wait for each other in a circle: ${waiting[0]!.id} and others`);
    }
    const level = ready.map((task): RecordedTask => {
      const run = measured.get(task.id);
      if (run === undefined) {
        throw new RecordingError(`task ${task.id} is specified but was not executed`);
      }
      const { id, runtimeInSeconds, command, ...facts } = run;
      const startTime = Math.max(begin, ...task.parents.map((parent) => done.get(parent)!.endTime));
      return {
        id,
        executor: task.name,
        parents: task.parents,
        command,
        inputFiles: task.inputFiles.map(file),
        outputFiles: task.outputFiles.map(file),
        facts: { ...facts, runtimeInSeconds },
        startTime,
        endTime: startTime + Math.round(runtimeInSeconds * 1000),
      };
    });
    for (const task of level) {
      done.set(task.id, task);
    }
    levels.push(level);
    waiting = waiting.filter(({ id }) => !done.has(id));
  }
  return { name: title, executedAt: new Date(begin).toISOString(), levels };
}

function parse(text: string) {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new RecordingError(`not JSON: ${(error as Error).message}`);
  }
  const result = schema.safeParse(json);
  if (!result.success) {
    const [first] = result.error.issues;
    throw new RecordingError(`not a WfFormat 1.5 recording: ${first?.path.join(".")}: ${first?.message}`);
  }
  return result.data;
}

function expectKnown(tasks: readonly { id: string; parents: string[] }[]): void {
  const ids = new Set<string>();
  for (const { id } of tasks) {
    if (ids.has(id)) {
      throw new RecordingError(`two tasks have the id ${id}`);
    }
    ids.add(id);
  }
  for (const { id, parents } of tasks) {
    const unknown = parents.find((parent) => !ids.has(parent));
    if (unknown !== undefined) {
      throw new RecordingError(`task ${id} names the parent ${unknown}, which is no task`);
    }
  }
}

/** The forms in which recordings say when they were made, beside ISO 8601. */
const forms: readonly [RegExp, string][] = [
  [/^(\d\d)-(\d\d)-(\d\d)T(\d\d:\d\d:\d\dZ)$/, "20$3-$1-$2T$4"],
  [/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)([+-]\d\d)(\d\d)$/, "$1-$2-$3T$4:$5:$6$7:$8"],
  [/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))$/, "$1"],
];

/**
 * Reads when a recording was made: MM-DD-YY, compact or extended ISO 8601, with a zone.
 *
 * @returns milliseconds since 1970
 * @throws RecordingError
 */
export function parseTime(text: string): number {
  const form = forms.find(([pattern]) => pattern.test(text));
  const time = form ? Date.parse(text.replace(form[0], form[1])) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new RecordingError(`executedAt: cannot read the time ${JSON.stringify(text)}`);
  }
  return time;
}
