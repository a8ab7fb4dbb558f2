import { create } from "@bufbuild/protobuf";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import {
  type IngestTaskExecutionsRequest,
  IngestTaskExecutionsRequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { Ledger } from "../harness/ledger.ts";
import type { Reports } from "./external-runs.ts";

/** How many reports are on their way or not acknowledged at once. */
export const mostUnacknowledged = 1000;

/** How many reports are sent in a row for one run. */
export const inARow = 100;

/**
 * Streams reports for some seconds, and makes sure that each makes a new record. Returns how many were acknowledged in
 * a second, those after the end included.
 */
export async function ingest({ tasks }: Ledger, reports: Reports, seconds: number): Promise<number> {
  const begin = performance.now();
  const deadline = begin + seconds * 1000;
  let goOn = (): void => undefined;
  let sent = 0;
  let done = 0;

  async function* requests(): AsyncGenerator<IngestTaskExecutionsRequest> {
    while (performance.now() < deadline) {
      while (sent - done + inARow > mostUnacknowledged) {
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
      }
      for (const request of reports.next(inARow)) {
        const item = create(IngestTaskExecutionsRequestSchema);
        item.sequenceNumber = BigInt(++sent);
        item.request = request;
        yield item;
      }
    }
  }

  for await (const { acknowledgements } of tasks.ingestTaskExecutions(requests())) {
    for (const { result } of acknowledgements) {
      if (result.case !== "response" || result.value.outcome !== Outcome.CREATED) {
        throw new Error(`a record was not created: ${JSON.stringify(result)}`);
      }
    }
    done += acknowledgements.length;
    goOn();
  }
  if (done !== sent) throw new Error(`${sent} reports were sent and ${done} acknowledged`);
  return (done / (performance.now() - begin)) * 1000;
}
