import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { FieldMaskSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import {
  FlowExecution_Dispatch as Dispatch,
  FlowExecution_Status as FlowStatus,
} from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  FlowExecutionService,
  ReExecuteFlowExecutionRequest_Scope as Scope,
} from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";
import {
  TaskExecution_Status as Status,
  type TaskExecution,
} from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { View } from "../../../gen/taskledger/v1/view_pb.ts";
import { nameIn } from "../../client.ts";
import type { TestService } from "../../service.ts";
import { type ChaosFlow, toDefinition } from "./flows.ts";
import { createCaller, type Recorder } from "./history.ts";

interface Clients {
  readonly flows: Client<typeof FlowService>;
  readonly runs: Client<typeof FlowExecutionService>;
  readonly tasks: Client<typeof TaskExecutionService>;
}

/** Whoever has flows run and corrects what came of them, and repeats each call until a server has answered. */
export interface Submitter {
  /** Creates a flow and a run of it. */
  submit(flow: ChaosFlow, leaseMs: number): Promise<string>;
  /** Changes the output of a completed task, and has all that was made from it made anew. */
  correct(run: string, taskName: string, name: string): Promise<"corrected" | "passed over">;
  /** Waits until a run has ended well, and re-executes what is stale. Returns the status that it ends with. */
  untilEnded(run: string, until: number): Promise<string>;
  /** Returns every record of a run, with payloads. */
  read(run: string): Promise<TaskExecution[]>;
}

const callMs = 3000;

/** Creates a submitter that goes from server to server. */
export function createSubmitter(
  servers: readonly TestService[],
  record: Recorder,
  random: () => number,
): Submitter {
  const clients = servers.map(
    (server): Clients => ({
      flows: server.client(FlowService),
      runs: server.client(FlowExecutionService),
      tasks: server.client(TaskExecutionService),
    }),
  );
  const call = createCaller(clients, record, random);
  const options = { timeoutMs: callMs };

  async function newest(run: string, taskName: string): Promise<TaskExecution | undefined> {
    const request = { flowExecutionId: run, taskName, pageSize: 1 };
    const { taskExecutions } = await call("ListTaskExecutions", ({ tasks }) =>
      tasks.listTaskExecutions(request, options),
    );
    return taskExecutions[0];
  }

  return {
    async submit(flow, leaseMs) {
      const definition = toDefinition(flow, leaseMs);
      const named = await call(
        "CreateFlow",
        ({ flows }) => flows.createFlow({ definition }, options),
        isTaken,
      ).catch(async () => {
        // Its first answer was lost.
        const { flows } = await call("ListFlows", (client) =>
          client.flows.listFlows({ pageSize: 1000 }, options),
        );
        return { flow: flows.find(({ name }) => name === flow.name) };
      });
      const flowId = named.flow!.id;
      const request = { flowId, requestId: flow.name, dispatch: Dispatch.MANAGED, priority: flow.priority };
      const { flowExecution } = await call("CreateFlowExecution", ({ runs }) =>
        runs.createFlowExecution(request, options),
      );
      record({ kind: "created", run: flowExecution!.id, flow: flowId });
      return flowExecution!.id;
    },

    async correct(run, taskName, name) {
      const before = await newest(run, taskName);
      if (before?.status !== Status.COMPLETED) return "passed over";
      const items = [`${name}-0`, `${name}-1`];
      const output = { by: "correction", token: name, made: name, items };
      const request = {
        id: before.id,
        etag: before.etag,
        updateMask: create(FieldMaskSchema, { paths: ["output"] }),
        output: fromJson(ValueSchema, output),
        executeFlow: random() < 0.7,
      };
      try {
        const { taskExecution, outdated } = await call(
          "UpdateTaskExecution",
          ({ tasks }) => tasks.updateTaskExecution(request, options),
          // It was corrected and its answer lost, or it is out of date meanwhile.
          ({ code }) => code === Code.Aborted || code === Code.FailedPrecondition,
        );
        record({
          kind: "amended",
          run,
          id: taskExecution!.id,
          output: JSON.stringify(toJson(ValueSchema, request.output)),
          stale: outdated.map(({ id }) => id),
        });
        return "corrected";
      } catch (error) {
        if (error instanceof ConnectError) return "passed over";
        throw error;
      }
    },

    async untilEnded(run, until) {
      for (let reExecutions = 0; ; ) {
        const { flowExecution } = await call("GetFlowExecution", ({ runs }) =>
          runs.getFlowExecution({ id: run }, options),
        );
        const { status } = flowExecution!;
        if (status === FlowStatus.STALE) {
          const request = { id: run, scope: Scope.STALE, requestId: `${run}-${reExecutions++}` };
          await call("ReExecuteFlowExecution", ({ runs }) => runs.reExecuteFlowExecution(request, options));
        } else if ((status !== FlowStatus.RUNNING && status !== FlowStatus.QUEUED) || Date.now() > until) {
          return nameIn(FlowStatus, status)!.toLowerCase();
        }
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    },

    async read(run) {
      const found: TaskExecution[] = [];
      for (let pageToken = ""; ; ) {
        const request = { flowExecutionId: run, pageSize: 200, pageToken, view: View.FULL };
        const page = await call("ListTaskExecutions", ({ tasks }) =>
          tasks.listTaskExecutions(request, { timeoutMs: 10_000 }),
        );
        found.push(...page.taskExecutions);
        if (page.nextPageToken === "") return found;
        pageToken = page.nextPageToken;
      }
    },
  };
}

function isTaken({ code }: ConnectError): boolean {
  return code === Code.AlreadyExists;
}
