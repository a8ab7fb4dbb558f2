import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type ClaimTaskExecutionsRequest,
  type ReportTaskExecutionsResponse_Result,
  ReportTaskExecutionsResponse_ResultSchema,
  HeartbeatTaskExecutionsResponse_State as State,
  TaskReportSchema,
  type WorkerService,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import { callerOf } from "../auth/caller.ts";
import { emOf } from "../db/em.ts";
import { inTransaction } from "../db/transaction.ts";
import { LedgerError } from "../errors.ts";
import { fromMs, toMs } from "../flow/duration.ts";
import { requestIdOf } from "../server/request-id.ts";
import { waitMsOf } from "../server/waiting-methods.ts";
import { parseItem, toItemStatus } from "../task-execution/batch.ts";
import type { Author, ChangeResult, WorkReport } from "../task-execution/changes.ts";
import type { CoalescedWrites } from "../task-execution/coalesced-writes.ts";
import { toPbOutcome, withoutPayloads } from "../task-execution/task-execution.message.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import type { WritePath } from "../task-execution/write-path.ts";
import { advance } from "./advance.ts";
import { type Claim, type Claimed, Claims } from "./claim.ts";
import { leaseLimits } from "./lease-limits.ts";
import { keepLeases } from "./lease-statements.ts";
import type { WaitingRoom } from "./waiting-room.ts";
import { fromClaimRequest, fromHeartbeat, fromTaskReport, toClaimedMessage } from "./worker.message.ts";

/** What the service of workers takes from outside. */
export interface WorkerServiceDeps {
  readonly writePath: WritePath;
  readonly writes: CoalescedWrites;
  readonly waitingRoom: WaitingRoom;
  /** Fires when the service shuts down: nobody waits for work then. */
  readonly closing: AbortSignal;
}

/** Hands out the tasks of the caller's organization, and takes back their results. */
export function workerService(deps: WorkerServiceDeps): ServiceImpl<typeof WorkerService> {
  const { writePath, writes, waitingRoom, closing } = deps;
  const claims = new Claims();

  async function apply(ctx: HandlerContext, changes: readonly WorkReport[]): Promise<ChangeResult[]> {
    if (changes.length === 0) return [];
    return writes.apply({ author: authorOf(ctx), changes, timeoutMs: ctx.timeoutMs(), signal: ctx.signal });
  }

  /** Looks for work once, in a transaction of its own. */
  function claimOnce(ctx: HandlerContext, request: ClaimTaskExecutionsRequest): Promise<Claimed[]> {
    const claim = fromClaimRequest(request);
    return writePath.transact(emOf(ctx), authorOf(ctx), async (work) => {
      const before = await claims.repeat(work, claim);
      return before.length > 0 ? before : claims.claim(work, claim, true);
    });
  }

  /** Looks for work, and again whenever there may be some, until there is or the time is over. */
  async function claimWaiting(ctx: HandlerContext, request: ClaimTaskExecutionsRequest): Promise<Claimed[]> {
    const { organizationId } = callerOf(ctx);
    const { executors } = request;
    const waitMs = waitMsOf(ctx, toMs(request.wait));
    const over = AbortSignal.any([ctx.signal, closing, AbortSignal.timeout(Math.max(1, Math.ceil(waitMs)))]);
    for (;;) {
      const found = new AbortController();
      // Listens before it looks, so that nothing slips through in between.
      const waiting = waitingRoom.wait(organizationId, executors, AbortSignal.any([over, found.signal]));
      let claimed: Claimed[];
      try {
        claimed = await claimOnce(ctx, request);
      } catch (error) {
        found.abort();
        throw error;
      }
      if (claimed.length > 0) {
        found.abort();
        // There may be more where this came from.
        waitingRoom.call(organizationId, new Set(executors), 1);
        return claimed;
      }
      if (over.aborted || (await waiting) === "over") {
        return [];
      }
    }
  }

  /** Claims in the transaction of reports, with what they made ready. */
  async function claimNext(work: Workspace, claim: Claim): Promise<Claimed[]> {
    // What was reported is stored first, so that it is not given again.
    await advance(work);
    const before = await claims.repeat(work, claim);
    return before.length > 0 ? before : claims.claim(work, claim, false);
  }

  return {
    async claimTaskExecutions(request, ctx) {
      const claimed =
        toMs(request.wait) > 0 ? await claimWaiting(ctx, request) : await claimOnce(ctx, request);
      return { claimed: claimed.map(toClaimedMessage) };
    },

    async heartbeatTaskExecutions({ heartbeats }, ctx) {
      const beats = heartbeats.map(fromHeartbeat);
      const { organizationId } = callerOf(ctx);
      const distinct = [...new Map(beats.map((beat) => [`${beat.id}/${beat.token}`, beat])).values()];
      const kept = await inTransaction(emOf(ctx), (em) =>
        keepLeases(em, organizationId, distinct, leaseLimits.graceMs),
      );
      const byKey = new Map(kept.map((lease) => [`${lease.id}/${lease.token}`, lease]));
      const results = beats.map(({ id, token }) => {
        const lease = byKey.get(`${id}/${token}`);
        return lease === undefined
          ? { state: State.LOST }
          : {
              state: lease.cancelRequested ? State.CANCEL_REQUESTED : State.HELD,
              remaining: fromMs(lease.remainingMs),
            };
      });
      return { results };
    },

    async reportTaskExecutions({ reports, claim: next }, ctx) {
      const parsed = reports.map((report) => parseItem(TaskReportSchema, report, fromTaskReport));
      const changes = parsed.filter((item): item is WorkReport => !(item instanceof LedgerError));
      const claim = next && fromClaimRequest(next);
      const { applied, claimed } =
        claim === undefined
          ? { applied: await apply(ctx, changes), claimed: [] }
          : await writePath.transact(emOf(ctx), authorOf(ctx), async (work) => {
              await work.load(changes);
              const results = await writePath.applyTo(work, changes);
              return { applied: results, claimed: await claimNext(work, claim) };
            });
      const left = applied.values();
      const results = parsed.map((item) =>
        toResult(item instanceof LedgerError ? { refused: item } : left.next().value!, requestIdOf(ctx)),
      );
      return { results, claimed: claimed.map(toClaimedMessage) };
    },
  };
}

function toResult(result: ChangeResult, requestId: string): ReportTaskExecutionsResponse_Result {
  return create(ReportTaskExecutionsResponse_ResultSchema, {
    result:
      "refused" in result
        ? { case: "error", value: toItemStatus(result.refused, requestId) }
        : {
            case: "accepted",
            value: { taskExecution: withoutPayloads(result.record), outcome: toPbOutcome(result.outcome) },
          },
  });
}

function authorOf(ctx: HandlerContext): Author {
  return { caller: callerOf(ctx), requestId: requestIdOf(ctx) };
}
