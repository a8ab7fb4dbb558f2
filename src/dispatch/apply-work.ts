import type { ChangeResult, Expiry, TaskRecord, WorkReport, WorkResult } from "../task-execution/changes.ts";
import { leaseLost } from "../task-execution/conflict.ts";
import { decideOutdate } from "../task-execution/decide.ts";
import { newRecord } from "../task-execution/new-record.ts";
import { isClosed, type RunRecord } from "../task-execution/run-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import { decideWork, endOf, failureOf, isTokenOf } from "./decide-work.ts";
import { insertLateResult } from "./late-result-statements.ts";
import { afterFailure, afterInterruption, type Verdict } from "./retry.ts";

/**
 * Applies what a worker hands in. A failed attempt is followed by another one, if the retry policy says so.
 *
 * @throws LedgerError LEASE_LOST; the result is kept if the token was good once
 */
export async function applyWork(
  work: Workspace,
  record: TaskRecord | undefined,
  { token, result }: WorkReport,
  random: () => number,
): Promise<ChangeResult> {
  if (record === undefined || !isTokenOf(record, token)) {
    throw leaseLost();
  }
  const run = work.run(record.flowExecutionId)!;
  try {
    const decision = decideWork(record, run, result, work.now);
    if (decision === undefined) {
      return { record: { ...record }, outcome: "unchanged" };
    }
  } catch (error) {
    await keepLateResult(work, record, result);
    throw error;
  }
  const task = (await work.planOf(run)).tasks.get(record.taskName);
  if (result.status !== "failed" || task === undefined) {
    await end(work, run, record, result, { retry: false });
  } else if (result.isInterruption && record.cancelRequested) {
    await end(work, run, record, { status: "cancelled" }, { retry: false });
  } else if (result.isInterruption) {
    await end(work, run, record, result, afterInterruption(record, task.retry, random), true);
  } else {
    await end(work, run, record, result, afterFailure(record, task.retry, result, random));
  }
  return { record: { ...record }, outcome: "updated" };
}

/** Ends an attempt whose lease has run out, or that took too long. */
export async function applyExpiry(
  work: Workspace,
  record: TaskRecord | undefined,
  { timedOut }: Expiry,
  random: () => number,
): Promise<ChangeResult> {
  if (record?.status !== "running") {
    throw leaseLost();
  }
  const run = work.run(record.flowExecutionId)!;
  const task = (await work.planOf(run)).tasks.get(record.taskName);
  if (record.cancelRequested) {
    await end(work, run, record, { status: "cancelled" }, { retry: false });
  } else if (timedOut && record.startTime !== null && task?.timeoutMs !== undefined) {
    const result = failureOf("Timeout", `the attempt took longer than its timeout of ${task.timeoutMs} ms`);
    await end(work, run, record, result, afterFailure(record, task.retry, result, random));
  } else {
    const result = failureOf("LeaseExpired", "its worker was not heard of any more");
    const next: Verdict = task ? afterInterruption(record, task.retry, random) : { retry: false };
    await end(work, run, record, result, next, true);
  }
  return { record: { ...record }, outcome: "updated" };
}

async function end(
  work: Workspace,
  run: RunRecord,
  record: TaskRecord,
  result: WorkResult,
  next: Verdict,
  isInterruption = false,
): Promise<void> {
  work.change(record, endOf(result, work.now));
  if (record.outdateOnEnd) {
    // What it was asked is out of date: neither its result counts, nor would that of another attempt.
    const outdated = decideOutdate(record);
    if (outdated !== undefined)
      work.change(record, outdated, { reason: "what it was made from has changed" });
    return;
  }
  if (!next.retry || isClosed(run) || record.cancelRequested) {
    return;
  }
  const { taskName, iteration, generation, executor, claimRank } = record;
  const retry = newRecord(work, run, {
    taskName,
    taskExecutionIdx: await work.nextIdx(run, taskName),
    status: "queued",
    input: record.input ?? null,
    attempt: record.attempt + 1,
    interruptions: record.interruptions + (isInterruption ? 1 : 0),
    iteration,
    generation,
    executor,
    claimRank,
  });
  work.add(retry, retry.input === null ? [] : ["input"], {
    delayMs: next.delayMs,
    causeId: record.id,
    inputOfId: record.id,
  });
}

async function keepLateResult(work: Workspace, record: TaskRecord, result: WorkResult): Promise<void> {
  if (result.status === "cancelled" || ("isInterruption" in result && result.isInterruption)) {
    return;
  }
  const isNew = await insertLateResult(work.em, work.organizationId, {
    taskExecutionId: record.id,
    status: result.status,
    output: result.status === "completed" ? (result.output ?? null) : null,
    now: work.now,
  });
  if (isNew) {
    work.note(record, "late_result", [result.status === "completed" ? "output" : "error"]);
  }
}
