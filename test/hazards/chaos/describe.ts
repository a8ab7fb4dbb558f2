import { Code } from "@connectrpc/connect";
import { check, print } from "../report.ts";
import type { FaultKind } from "./faults.ts";
import { mostOverdueMs } from "./observer.ts";
import type { Outcome } from "./scenario.ts";

/** How many faults of one invariant are printed. */
const mostPrinted = 5;

/**
 * Prints what came of a scenario, and checks that all of it holds.
 *
 * @param isPunctual whether leases have to be ended in time: not if the fleet takes all that the machine can give
 */
export function describe(
  name: string,
  kinds: readonly FaultKind[],
  outcome: Outcome,
  isPunctual = true,
): void {
  const { history, state, observed, findings, hits } = outcome;
  const count = <T>(all: readonly T[], is: (one: T) => boolean) => all.filter(is).length;
  const completed = count(state.events, ({ type }) => type === "complete");
  const interrupted = count(
    state.events,
    ({ type, requestId }) => type === "fail" && requestId.startsWith("sweep-"),
  );
  const refused = count(history, (entry) => entry.kind === "reported" && entry.answer === "LEASE_LOST");
  const errors = Object.entries(
    Object.groupBy(
      history.filter((entry) => entry.kind === "error"),
      ({ code }) => Code[code]!,
    ),
  ).map(([code, all]) => `${all!.length} ${code}`);
  print(
    `${name}: ${(outcome.tookMs / 1000).toFixed(0)} s, ${state.runs.size} runs, ${completed} completions, ` +
      `${interrupted} attempts interrupted, ${refused} late reports refused, ${outcome.corrected} corrections; ` +
      `clients saw ${errors.join(", ") || "no errors"}`,
  );
  const struck = kinds.map((kind) => `${hits.get(kind) ?? 0} ${kind}`).join(", ");
  check(
    kinds.every((kind) => (hits.get(kind) ?? 0) > 0),
    `     hits: ${struck}`,
  );
  const overdue =
    `     I6 the longest lease was over for ${observed.mostOverdueMs} ms of at most ${mostOverdueMs}, ` +
    `in ${observed.looks} looks, without ${(observed.outageMs / 1000).toFixed(1)} s in which it could not be ended`;
  if (isPunctual) check(observed.looks > 0 && observed.mostOverdueMs <= mostOverdueMs, overdue);
  else print(overdue);
  check(
    observed.faults.length === 0,
    `     leases and running tasks agree: ${observed.faults.length} faults`,
  );
  for (const fault of observed.faults.slice(0, mostPrinted)) print(`       ${fault}`);
  const broken = [...findings].filter(([, faults]) => faults.length > 0);
  check(broken.length === 0, `     ${findings.size - broken.length} of ${findings.size} invariants hold`);
  for (const [invariant, faults] of broken) {
    check(false, `     ${invariant}: ${faults.length} times not`);
    for (const fault of faults.slice(0, mostPrinted)) print(`       ${fault}`);
  }
}
