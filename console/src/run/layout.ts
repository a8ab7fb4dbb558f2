/** A task as far as its place in the graph depends on it. */
export interface LayoutTask {
  readonly name: string;
  readonly dependsOn: readonly string[];
}

/** A point of the graph. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Where to tasks follow each other: to the right, or down where there is little width. */
export type Direction = "right" | "down";

/** Where everything is drawn. */
export interface Layout {
  /** The upper left corner of each task. */
  readonly places: ReadonlyMap<string, Point>;
  /** The places in between that a line passes, by {@link edgeId}; only of lines that pass by other levels. */
  readonly waypoints: ReadonlyMap<string, readonly Point[]>;
  readonly width: number;
  readonly height: number;
}

/** How large a task is drawn. */
export const nodeSize = { width: 190, height: 54 } as const;

/** How far levels, and the tasks within a level, are apart. */
const gaps = { right: { level: 70, task: 18 }, down: { level: 44, task: 14 } } as const;

/** How often the tasks of a level are sorted by where their neighbours stand. */
const sweeps = 4;
/** Above this, lines go straight: places for each of their parts would be too many. */
const mostParts = 5000;

/** Returns what a line from a task to one that depends on it is called. */
export function edgeId(upstream: string, downstream: string): string {
  return `${upstream}\n${downstream}`;
}

/**
 * Returns a place for each task: each level of the topological order is a column, or a row, and within it tasks
 * stand near what they depend on and what depends on them, so that few lines cross. A line that passes by a level
 * has a place in it of its own, so that it does not pass below a task.
 */
export function layOut(tasks: readonly LayoutTask[], direction: Direction): Layout {
  const levels = levelsOf(tasks);
  const levelOf = new Map(levels.flatMap((level, depth) => level.map((name) => [name, depth])));
  const parts = new Map<string, string[]>();
  const links: [string, string][] = [];
  let count = 0;
  for (const { name, dependsOn } of tasks) {
    for (const upstream of dependsOn) {
      const from = levelOf.get(upstream) ?? 0;
      const to = levelOf.get(name) ?? 0;
      const id = edgeId(upstream, name);
      count += Math.max(0, to - from - 1);
      const chain =
        count > mostParts ? [] : Array.from({ length: Math.max(0, to - from - 1) }, (_, i) => `${id}\n${i}`);
      chain.forEach((part, index) => {
        levels[from + 1 + index]?.push(part);
      });
      parts.set(id, chain);
      const all = [upstream, ...chain, name];
      all.slice(1).forEach((each, index) => {
        links.push([all[index] ?? upstream, each]);
      });
    }
  }
  const upstream = Map.groupBy(links, ([, to]) => to);
  const downstream = Map.groupBy(links, ([from]) => from);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    if (sweep % 2 === 0) {
      sortLevels(levels, (name) => upstream.get(name)?.map(([from]) => from) ?? []);
    } else {
      sortLevels(levels.toReversed(), (name) => downstream.get(name)?.map(([, to]) => to) ?? []);
    }
  }
  return place(levels, parts, direction);
}

/** Sorts what stands in each level by the mean position of its neighbours. */
function sortLevels(levels: readonly string[][], neighboursOf: (name: string) => readonly string[]): void {
  const positions = new Map(
    levels.flatMap((level) => level.map((name, row) => [name, relative(row, level)])),
  );
  for (const level of levels) {
    const weights = new Map(
      level.map((name) => {
        const near = neighboursOf(name);
        const sum = near.reduce((total, each) => total + (positions.get(each) ?? 0), 0);
        return [name, near.length === 0 ? (positions.get(name) ?? 0) : sum / near.length];
      }),
    );
    level.sort((left, right) => (weights.get(left) ?? 0) - (weights.get(right) ?? 0));
    level.forEach((name, row) => {
      positions.set(name, relative(row, level));
    });
  }
}

/** A row from the middle of its level. */
function relative(row: number, { length }: readonly string[]): number {
  return row - (length - 1) / 2;
}

function levelsOf(tasks: readonly LayoutTask[]): string[][] {
  const levels: string[][] = [];
  const left = new Map(tasks.map((task) => [task.name, task]));
  while (left.size > 0) {
    const rest = [...left.values()];
    const ready = rest.filter(({ dependsOn }) => dependsOn.every((each) => !left.has(each)));
    // A definition has no circles; should there be one, what is left stands in one last column.
    const level = (ready.length > 0 ? ready : rest).map(({ name }) => name);
    levels.push(level);
    for (const name of level) {
      left.delete(name);
    }
  }
  return levels;
}

function place(
  levels: readonly (readonly string[])[],
  parts: ReadonlyMap<string, readonly string[]>,
  direction: Direction,
): Layout {
  const { width, height } = nodeSize;
  const { level: levelGap, task: taskGap } = gaps[direction];
  const largest = Math.max(...levels.map((level) => level.length), 1);
  const places = new Map(
    levels.flatMap((level, depth) =>
      level.map((name, index): [string, Point] => {
        const across = index + (largest - level.length) / 2;
        return [
          name,
          direction === "right"
            ? { x: depth * (width + levelGap), y: across * (height + taskGap) }
            : { x: across * (width + taskGap), y: depth * (height + levelGap) },
        ];
      }),
    ),
  );
  const waypoints = new Map(
    [...parts].map(([id, chain]) => [id, chain.flatMap((part) => places.get(part) ?? [])]),
  );
  const isRight = direction === "right";
  const [along, across] = isRight ? [width, height] : [height, width];
  const long = levels.length * (along + levelGap) - levelGap;
  const wide = largest * (across + taskGap) - taskGap;
  return { places, waypoints, width: isRight ? long : wide, height: isRight ? wide : long };
}
