import { durationMs } from "@bufbuild/protobuf/wkt";
import { type Client, ConnectError } from "@connectrpc/connect";
import {
  HeartbeatTaskExecutionsResponse_State as State,
  type WorkerService,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import type { HeldTask } from "./held-task.ts";
import { isPassing } from "./persist.ts";

/** How many heartbeats one call takes. */
const mostBeats = 1000;
/** How long one call may take: then another try is better than to wait on. */
const longestCallMs = 5000;
const shortestCallMs = 500;
/** The pause after a call that failed. */
const pauseMs = 250;

/** What heartbeats take from outside. */
export interface HeartbeatsDeps {
  readonly client: Client<typeof WorkerService>;
  readonly onTrouble: (error: ConnectError, retryInMs: number) => void;
}

/** Keeps the leases of the tasks that the worker holds, many with one call. */
export class Heartbeats {
  readonly #deps: HeartbeatsDeps;
  readonly #held = new Set<HeldTask>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  #isBeating = false;

  constructor(deps: HeartbeatsDeps) {
    this.#deps = deps;
  }

  /** Keeps the lease of a task from now on. */
  add(held: HeldTask): void {
    this.#held.add(held);
    this.look();
  }

  /** Lets the lease of a task go. */
  remove(held: HeldTask): void {
    this.#held.delete(held);
  }

  /** Stops. */
  close(): void {
    this.#held.clear();
    clearTimeout(this.#timer);
    this.#closing.abort();
  }

  /** Looks which heartbeat is due first. To be called when one is due earlier than it was. */
  look(): void {
    for (const held of this.#held) {
      // Nothing is kept for an executor that was told to give up.
      if (held.interruption === "lease-lost") this.remove(held);
    }
    if (this.#isBeating || this.#held.size === 0) {
      return;
    }
    const first = Math.min(...[...this.#held].map(({ nextBeat }) => nextBeat));
    if (first < this.#wakeAt) {
      clearTimeout(this.#timer);
      this.#wakeAt = first;
      this.#timer = setTimeout(() => void this.#wake(), Math.max(0, first - performance.now()));
    }
  }

  async #wake(): Promise<void> {
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#isBeating = true;
    const now = performance.now();
    // Those that are due soon go along: fewer calls, and next time they are due together.
    const due = [...this.#held].filter(
      ({ nextBeat, leaseEnd }) => nextBeat - now < Math.max(0, leaseEnd - now) / 6,
    );
    for (let start = 0; start < due.length; start += mostBeats) {
      await this.#beat(due.slice(start, start + mostBeats));
    }
    this.#isBeating = false;
    this.look();
  }

  async #beat(beats: readonly HeldTask[]): Promise<void> {
    const sentAt = performance.now();
    const left = Math.min(...beats.map(({ leaseEnd }) => leaseEnd)) - sentAt;
    // gRPC takes whole milliseconds only.
    const timeoutMs = Math.ceil(Math.min(longestCallMs, Math.max(shortestCallMs, left / 3)));
    try {
      const { results } = await this.#deps.client.heartbeatTaskExecutions(
        {
          heartbeats: beats.map((held) => {
            const { id, token } = held.task;
            const progress = held.takeProgress();
            return { id, token, ...(progress && { progress }) };
          }),
        },
        { timeoutMs, signal: this.#closing.signal },
      );
      for (const [index, held] of beats.entries()) {
        const { state, remaining } = results[index]!;
        if (state === State.LOST) {
          this.remove(held);
          held.interrupt("lease-lost");
        } else {
          held.keep(sentAt, remaining ? durationMs(remaining) : 0);
          if (state === State.CANCEL_REQUESTED) held.interrupt("cancel-requested");
        }
      }
    } catch (thrown) {
      if (this.#closing.signal.aborted) {
        return;
      }
      const error = ConnectError.from(thrown);
      // Nobody else is asked before the leases run out, so that what cannot be mended is tried on, but slowly.
      const pause = (isPassing(error) ? pauseMs : 20 * pauseMs) * (0.75 + Math.random() / 2);
      this.#deps.onTrouble(error, pause);
      for (const held of beats) {
        held.postpone(performance.now() + pause);
      }
    }
  }
}
