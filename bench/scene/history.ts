import type { FlowExecution } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { connect, type DatabaseUrls } from "../harness/database.ts";
import { insertRecords, insertRuns, moveFeed, noteRuns, recordsPerRun } from "./history-statements.ts";
import { input, output } from "./payload.ts";

/** How many runs one transaction stores. */
const runsPerStep = 50;

/**
 * Stores ended records with an event each, as if runs had ended one after the other, 1,000 records each: 95 of 100
 * completed, 4 failed, 1 cancelled. It goes past the service, which would take an hour, and past the foreign keys.
 *
 * @param like a run that the others are copies of, but for their ids
 */
export async function storeHistory(
  { adminUrl }: DatabaseUrls,
  like: FlowExecution,
  records: number,
  progress: (line: string) => void,
): Promise<void> {
  const { organizationId, id } = like;
  const runs = Math.ceil(records / recordsPerRun);
  const payloads = [JSON.stringify(input), JSON.stringify(output)];
  await using client = await connect(adminUrl);
  await client.query("set session_replication_role = replica");
  await client.query(inlined(noteRuns, [`'${organizationId}'`, String(runs)]));
  await client.query(insertRuns, [organizationId, id]);
  await client.query("analyze history_run");
  for (let first = 0; first < runs; first += runsPerStep) {
    const count = Math.min(runsPerStep, runs - first);
    await client.query(insertRecords, [organizationId, id, first, count, ...payloads]);
    if (first % (runsPerStep * 10) === 0) progress(`filling: ${first * recordsPerRun} of ${records} records`);
  }
  await client.query(moveFeed, [organizationId]);
  await client.query("drop table history_run");
  progress("filling: vacuum and analyze");
  await client.query("vacuum (analyze)");
}

/** Puts values into a statement that may have no parameters. */
function inlined(text: string, values: readonly string[]): string {
  return values.reduce((all, value, index) => all.replaceAll(`$${index + 1}`, value), text);
}
