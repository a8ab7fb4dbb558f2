/** What kind of worker plays recorded tasks. */
export const replayExecutor = "replay";

/** What a recorded task is asked when it is played. */
export interface ReplayedTask {
  /** How long it took. */
  readonly seconds: number;
  /** How much of that it takes now. */
  readonly scale: number;
}
