import { LedgerError } from "../errors.ts";
import type { Limits } from "../server/limits.ts";
import type { IngestLimits } from "./ingest-limits.ts";

/** What the streams of an organization take. */
interface Taken {
  streams: number;
  bytes: number;
}

/** The part of a stream. It may be given back after the stream has ended, when what it holds is done. */
export interface Share {
  /** Whether there is room for more. */
  readonly hasRoom: boolean;
  take(bytes: number): void;
  give(bytes: number): void;
}

/** How many ingest streams there are in this process, and how much they hold together that is not written yet. */
export class IngestRoom {
  readonly #streamLimits: Pick<Limits, "maxIngestStreams" | "maxIngestStreamsPerOrganization">;
  readonly #limits: Pick<IngestLimits, "bytesPerOrganization" | "bytesInAll">;
  readonly #all: Taken = { streams: 0, bytes: 0 };
  readonly #organizations = new Map<string, Taken>();
  readonly #listeners = new Set<() => void>();

  constructor(
    streamLimits: Pick<Limits, "maxIngestStreams" | "maxIngestStreamsPerOrganization">,
    limits: Pick<IngestLimits, "bytesPerOrganization" | "bytesInAll">,
  ) {
    this.#streamLimits = streamLimits;
    this.#limits = limits;
  }

  /** How many streams there are, and how many bytes they hold. */
  get figures(): Readonly<Taken> {
    return { ...this.#all };
  }

  /**
   * Lets a stream in, until the signal aborts.
   *
   * @param listener is called when there may be room again
   * @throws LedgerError TOO_MANY_REQUESTS over the limit of streams
   */
  join(organizationId: string, listener: () => void, signal: AbortSignal): Share {
    signal.throwIfAborted();
    const { maxIngestStreams, maxIngestStreamsPerOrganization } = this.#streamLimits;
    const ours = this.#organizations.get(organizationId) ?? { streams: 0, bytes: 0 };
    if (ours.streams >= maxIngestStreamsPerOrganization) {
      throw tooMany(`your organization has ${maxIngestStreamsPerOrganization} ingest streams open`);
    }
    if (this.#all.streams >= maxIngestStreams) {
      throw tooMany(`${maxIngestStreams} ingest streams are open`);
    }
    this.#organizations.set(organizationId, ours);
    this.#listeners.add(listener);
    const count = (streams: number, bytes: number): void => {
      this.#all.streams += streams;
      this.#all.bytes += bytes;
      ours.streams += streams;
      ours.bytes += bytes;
      if (ours.streams === 0 && ours.bytes === 0) this.#organizations.delete(organizationId);
    };
    count(1, 0);
    // Not when the iterator ends: a generator that waits in `yield` does not notice that its client is gone.
    const leave = () => {
      this.#listeners.delete(listener);
      count(-1, 0);
    };
    signal.addEventListener("abort", leave, { once: true });
    const isFull = () =>
      ours.bytes >= this.#limits.bytesPerOrganization || this.#all.bytes >= this.#limits.bytesInAll;
    return {
      get hasRoom() {
        return !isFull();
      },
      take: (bytes) => count(0, bytes),
      give: (bytes) => {
        const wasFull = isFull();
        count(0, -bytes);
        if (wasFull && !isFull()) this.#listeners.forEach((listen) => void listen());
      },
    };
  }
}

function tooMany(what: string): LedgerError {
  return new LedgerError("TOO_MANY_REQUESTS", `${what}, which is the limit; send more through one of them`, {
    retryAfterMs: 5000,
  });
}
