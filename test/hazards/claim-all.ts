import { randomUUID } from "node:crypto";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import type { TestService } from "../service.ts";
import { executor } from "./chaos/flows.ts";
import { createSubmitter } from "./chaos/submitter.ts";

/** A run, all of whose tasks a worker holds, and what it holds them by. */
export interface HeldRun {
  readonly id: string;
  readonly held: readonly { readonly id: string; readonly token: bigint }[];
}

const hourMs = 3_600_000;

/** Starts a run of tasks that depend on nothing, and claims them all, each for an hour. */
export async function claimAll(service: TestService, name: string, tasks: number): Promise<HeldRun> {
  const submitter = createSubmitter([service], () => undefined, Math.random);
  const workers = service.client(WorkerService);
  const id = await submitter.submit(
    {
      name,
      priority: 0,
      tasks: Array.from({ length: tasks }, (_, index) => ({
        name: `task-${index}`,
        dependsOn: [],
        work: { ms: 0, fails: 0, items: 0 },
      })),
    },
    hourMs,
  );
  const held: { id: string; token: bigint }[] = [];
  while (held.length < tasks) {
    const request = {
      executors: [executor],
      maxTaskExecutions: 100,
      workerId: "test",
      requestId: randomUUID(),
    };
    const { claimed } = await workers.claimTaskExecutions(request);
    held.push(...claimed.map(({ taskExecution, token }) => ({ id: taskExecution!.id, token })));
  }
  return { id, held };
}
