import type { Ready } from "../task-execution/write-path.ts";
import { gather } from "./gather.ts";
import type { WaitingRoom } from "./waiting-room.ts";

/** How long calls are gathered before they go to the other processes. */
const gatherMs = 5;

/** Tells the other processes that organizations have something to claim. */
export type TellOthers = (organizationIds: readonly string[]) => void;

/** Tells whoever waits for work, in this process and in all others, that there is some. */
export class Doorbell {
  readonly #room: WaitingRoom;
  readonly #tellOthers: (organizationId: string) => void;

  constructor(room: WaitingRoom, tellOthers: TellOthers = () => undefined) {
    this.#room = room;
    this.#tellOthers = gather(gatherMs, tellOthers);
  }

  /** Tells of work, when it can be claimed. */
  ring(ready: Ready): void {
    if (ready.delayMs > 0) {
      // A timer cannot be longer; whoever waits then also looks by himself.
      const delayMs = Math.min(ready.delayMs, 2 ** 31 - 1);
      setTimeout(() => this.ring({ ...ready, delayMs: 0 }), delayMs).unref();
      return;
    }
    this.#room.call(ready.organizationId, ready.executors);
    this.#tellOthers(ready.organizationId);
  }
}
