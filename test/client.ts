import { randomUUID } from "node:crypto";
import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { pino } from "pino";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import type {
  CreateTaskExecutionRequestSchema,
  IngestTaskExecutionsResponse_Acknowledgement,
  TaskExecutionService,
} from "../gen/taskledger/v1/task_execution_service_pb.ts";
import { type AppOptions, createApp } from "../src/app.ts";
import type { Caller } from "../src/auth/caller.ts";
import type { TestDatabase } from "./database.ts";

/** Returns a caller of an organization, an administrator unless said otherwise. */
export function callerFrom(organizationId: string, more: Partial<Caller> = {}): Caller {
  return { organizationId, subject: randomUUID(), kind: "worker", role: "admin", keyName: "test", ...more };
}

/** Makes a client that is signed in as a caller, or as the one that follows from the secret of each call, and calls the real interceptors and handlers in memory. */
export function clientOf<Desc extends DescService>(
  service: Desc,
  { orm }: Pick<TestDatabase, "orm">,
  caller: Caller | ((secret: string) => Caller),
  more: Partial<Pick<AppOptions, "now" | "limits">> = {},
): Client<Desc> {
  const { routes, interceptors } = createApp({
    orm,
    authenticate: async (secret) => (typeof caller === "function" ? caller(secret) : caller),
    log: pino({ level: "silent" }),
    readiness: { isReady: () => true, subscribe: () => {} },
    ...more,
  });
  const transport = createRouterTransport(routes, {
    router: { interceptors: [...interceptors] },
    transport: {
      interceptors: [
        (next) => (req) => {
          if (!req.header.has("authorization")) req.header.set("authorization", "Bearer test");
          return next(req);
        },
      ],
    },
  });
  return createClient(service, transport);
}

/** Returns what a call ends with: "ok", or the reason of its error without the prefix, such as "NOT_FOUND". */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const reason = error.findDetails(ErrorInfoSchema)[0]?.reason;
    return reason?.replace("ERROR_REASON_", "") ?? String(Code[error.code]);
  }
}

/** Returns the name of a number in a generated enum. */
export function nameIn(names: Readonly<Record<string, number>>, value: number): string | undefined {
  return Object.keys(names).find((name) => names[name] === value);
}

/** Sends reports in one stream, numbered from 1, and returns the acknowledgements when it has ended well. */
export async function ingestAll(
  tasks: Client<typeof TaskExecutionService>,
  requests: readonly MessageInitShape<typeof CreateTaskExecutionRequestSchema>[],
): Promise<IngestTaskExecutionsResponse_Acknowledgement[]> {
  async function* items() {
    for (const [index, request] of requests.entries()) yield { sequenceNumber: BigInt(index + 1), request };
  }
  const acknowledgements: IngestTaskExecutionsResponse_Acknowledgement[] = [];
  for await (const response of tasks.ingestTaskExecutions(items())) {
    acknowledgements.push(...response.acknowledgements);
  }
  return acknowledgements;
}
