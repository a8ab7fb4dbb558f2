import type { TellOthers } from "../dispatch/doorbell.ts";
import { gather } from "../dispatch/gather.ts";
import type { Feeds } from "./feeds.ts";

/** How long calls are gathered before they go to the other processes. */
const gatherMs = 25;

/** Tells whoever watches, in this process at once and in all others soon, that an organization has changed. */
export class ChangeBell {
  readonly #feeds: Feeds;
  readonly #tellOthers: (organizationId: string) => void;

  constructor(feeds: Feeds, tellOthers: TellOthers = () => undefined) {
    this.#feeds = feeds;
    this.#tellOthers = gather(gatherMs, tellOthers);
  }

  /** Tells of a change that was committed. */
  ring(organizationId: string): void {
    this.#feeds.ring(organizationId);
    this.#tellOthers(organizationId);
  }
}
