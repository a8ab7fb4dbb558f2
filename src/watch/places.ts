import { shardCount } from "../task-execution/feed-shard.ts";

/**
 * How far someone has come in each shard of an organization's feed: whoever is there has been told of every event up
 * to these positions.
 */
export type Places = readonly number[];

/** Before everything. */
export const nowhere: Places = Array(shardCount).fill(0);

/** Reports whether one is at least as far as the other in every shard. */
export function covers(places: Places, other: Places): boolean {
  return places.every((position, shard) => position >= other[shard]!);
}

/** Returns the farther of both in each shard. */
export function farther(a: Places, b: Places): Places {
  return a.map((position, shard) => Math.max(position, b[shard]!));
}

/** Returns the places after the event at a position has been told too. */
export function passing(places: Places, shard: number, position: number): Places {
  return places.with(shard, Math.max(places[shard]!, position));
}

/** Converts places to text, as short as they are near to the beginning. */
export function toText(places: Places): string {
  return places.map((position) => position.toString(36)).join(".");
}

/** Converts what {@link toText} gave back. */
export function fromText(text: string): Places {
  return text.split(".").map((position) => Number.parseInt(position, 36));
}
