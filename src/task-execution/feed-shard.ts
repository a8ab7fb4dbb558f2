/** Into how many shards the events of an organization are divided, so that its writers do not all wait for one row. */
export const shardCount = 16;

/** Returns the shard of a run's events: the last digit of its id, which is random. */
export function shardOf(flowExecutionId: string): number {
  return Number.parseInt(flowExecutionId.at(-1)!, 16);
}
