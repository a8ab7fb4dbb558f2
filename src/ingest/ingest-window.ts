import type { Bell } from "../watch/bell.ts";
import type { IngestLimits } from "./ingest-limits.ts";
import type { Share } from "./ingest-room.ts";

/** What a stream holds: items that are not acknowledged yet, and acknowledgements that are not taken yet. */
export class IngestWindow {
  readonly #limits: Pick<IngestLimits, "itemsPerStream" | "bytesPerStream">;
  readonly #share: Share;
  readonly #bell: Bell;
  #items = 0;
  #bytes = 0;

  /** @param bell is rung by whoever else ends the wait for room */
  constructor(limits: Pick<IngestLimits, "itemsPerStream" | "bytesPerStream">, share: Share, bell: Bell) {
    this.#limits = limits;
    this.#share = share;
    this.#bell = bell;
  }

  /** Whether one more item may be taken. A stream that holds nothing always may, so that each one goes on. */
  get hasRoom(): boolean {
    const { itemsPerStream, bytesPerStream } = this.#limits;
    const isFull = this.#items >= itemsPerStream || this.#bytes >= bytesPerStream || !this.#share.hasRoom;
    return this.#items === 0 || !isFull;
  }

  /** Waits until there may be room. */
  async wait(): Promise<void> {
    this.#bell.reset();
    if (!this.hasRoom) await this.#bell.wait();
  }

  /** Takes in an item. */
  take(bytes: number): void {
    this.#items++;
    this.#resize(bytes);
  }

  /** Keeps an acknowledgement in place of its item. */
  replace(bytes: number, byBytes: number): void {
    this.#resize(byBytes - bytes);
  }

  /** Gives up an item or its acknowledgement. */
  release(bytes: number): void {
    this.#items--;
    this.#resize(-bytes);
  }

  #resize(by: number): void {
    this.#bytes += by;
    if (by >= 0) this.#share.take(by);
    else this.#share.give(-by);
    this.#bell.ring();
  }
}
