import { setTimeout as sleep } from "node:timers/promises";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { ErrorInfoSchema, RequestInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";

/** How long one try of a call may take. */
const deadlineMs = 30_000;

/** How long a call is tried again: long enough for a service that is being restarted. */
const patienceMs = 60_000;

/** What repeating can help against. Every method is safe to repeat. */
const passing: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.DEADLINE_EXCEEDED,
]);

/** Calls the unary methods of the service at one address, over gRPC. */
export interface GrpcClient {
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O> & { readonly parent: DescService },
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>>;
  close(): void;
}

/** Connects to a service, with the secret of an API key. */
export function connect(address: string, key: string): GrpcClient {
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 16 * 1024 * 1024,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
  });
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  return {
    async call(method, init) {
      const request = create(method.input, init) as MessageShape<typeof method.input>;
      const once = () =>
        new Promise<MessageShape<typeof method.output>>((resolve, reject) => {
          client.makeUnaryRequest(
            `/${method.parent.typeName}/${method.name}`,
            (message) => Buffer.from(toBinary(method.input, message)),
            (bytes) => fromBinary(method.output, bytes),
            request,
            metadata,
            { deadline: Date.now() + deadlineMs },
            (error, response) => (error ? reject(error) : resolve(response!)),
          );
        });
      const giveUp = Date.now() + patienceMs;
      for (let pause = 100; ; pause = Math.min(pause * 2, 2000)) {
        try {
          return await once();
        } catch (error) {
          const { code } = error as ServiceError;
          if (!passing.has(code) || Date.now() > giveUp) {
            throw new Error(`${method.name}: ${describe(error as ServiceError)}`);
          }
        }
        await sleep(pause * (0.5 + Math.random()));
      }
    },
    close: () => client.close(),
  };
}

/** Returns what an error says: its message, the reason for programs, and the id to ask about. */
function describe({ code, details, metadata }: ServiceError): string {
  const [bytes] = metadata.get("grpc-status-details-bin");
  const parts = [details];
  for (const { typeUrl, value } of bytes instanceof Buffer ? fromBinary(StatusSchema, bytes).details : []) {
    if (typeUrl.endsWith(`/${ErrorInfoSchema.typeName}`))
      parts.push(fromBinary(ErrorInfoSchema, value).reason);
    if (typeUrl.endsWith(`/${RequestInfoSchema.typeName}`)) {
      parts.push(`request id ${fromBinary(RequestInfoSchema, value).requestId}`);
    }
  }
  return `${status[code]}: ${parts.join("; ")}`;
}
