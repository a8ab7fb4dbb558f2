import { spawn } from "node:child_process";
import { join } from "node:path";
import {
  createRegistry,
  type DescMethodUnary,
  fromBinary,
  fromJson,
  type JsonValue,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { createConnectTransport as createWebTransport } from "@connectrpc/connect-web";
import { credentials, Client as GrpcClient, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../gen/google/rpc/status_pb.ts";
import { ConflictSchema } from "../gen/taskledger/v1/error_details_pb.ts";
import { bootstrapKey, signIn, type TestService } from "./service.ts";

/** What a client sees of an answer: the message, or the error with its details by their types. */
export type Seen =
  | { readonly message: JsonValue }
  | { readonly code: string; readonly text: string; readonly details: Readonly<Record<string, JsonValue>> };

/** Calls a method with a request given as JSON. */
export type WireClient = (method: DescMethodUnary, request: JsonValue) => Promise<Seen>;

const registry = createRegistry(
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
  ConflictSchema,
);

/** Returns a client for each way to call a service, signed in as its administrator. */
export function wireClients(service: TestService): Record<string, WireClient> & Disposable {
  const node = { baseUrl: service.origin, interceptors: [signIn()], jsonOptions: { registry } };
  const grpc = new GrpcClient(`127.0.0.1:${service.port}`, credentials.createInsecure());
  return {
    "gRPC, connect": over(createGrpcTransport(node)),
    "gRPC, grpc-js": overGrpcJs(grpc),
    "gRPC-Web": over(createGrpcWebTransport({ ...node, httpVersion: "1.1" })),
    "Connect JSON": over(createConnectTransport({ ...node, httpVersion: "1.1", useBinaryFormat: false })),
    "Connect binary": over(createConnectTransport({ ...node, httpVersion: "2", useBinaryFormat: true })),
    "Connect GET": overGet(service),
    "buf curl": overBufCurl(service),
    [Symbol.dispose]: () => grpc.close(),
  };
}

function over(transport: Transport): WireClient {
  return async (method, request) => {
    try {
      const message = fromJson(method.input, request);
      const response = await transport.unary(method, undefined, undefined, undefined, message);
      return { message: toJson(method.output, response.message, { registry }) };
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      const details = error.details.map((detail) =>
        "type" in detail ? detailOf(detail.type, detail.value) : [String(detail.desc), null],
      );
      return { code: Code[error.code]!, text: error.rawMessage, details: Object.fromEntries(details) };
    }
  };
}

/** As browsers do it: GET for what has no side effects, POST for the rest. */
function overGet(service: TestService): WireClient {
  return async (method, request) => {
    const sent: (string | undefined)[] = [];
    const transport = createWebTransport({
      baseUrl: service.origin,
      interceptors: [signIn()],
      jsonOptions: { registry },
      useHttpGet: true,
      fetch: (input, init) => {
        sent.push(init?.method);
        return fetch(input, init);
      },
    });
    const seen = await over(transport)(method, request);
    const want = method.idempotency === 1 ? "GET" : "POST";
    if (sent[0] !== want) {
      throw new Error(`${method.name} was sent by ${sent}, not by ${want}`);
    }
    return seen;
  };
}

function overGrpcJs(client: GrpcClient): WireClient {
  return (method, request) =>
    new Promise((resolve, reject) => {
      const metadata = new Metadata();
      metadata.set("authorization", `Bearer ${bootstrapKey}`);
      client.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (json: JsonValue) => Buffer.from(toBinary(method.input, fromJson(method.input, json))),
        (bytes) => toJson(method.output, fromBinary(method.output, bytes), { registry }),
        request,
        metadata,
        (error, message) => {
          try {
            resolve(error ? fromServiceError(error) : { message: message! });
          } catch (thrown) {
            reject(thrown);
          }
        },
      );
    });
}

function fromServiceError(error: ServiceError): Seen {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const status = fromBinary(StatusSchema, bytes as Buffer);
  if (status.code !== error.code || status.message !== error.details) {
    throw new Error(`grpc-status-details-bin says ${status.message}, the status ${error.details}`);
  }
  const details = status.details.map(({ typeUrl, value }) => detailOf(typeUrl.split("/").at(-1)!, value));
  return { code: Code[error.code]!, text: error.details, details: Object.fromEntries(details) };
}

/** Knows of the schema only what reflection says. */
function overBufCurl(service: TestService): WireClient {
  const program = join(import.meta.dirname, "../node_modules/.bin/buf");
  return async (method, request) => {
    const url = `${service.origin}/${method.parent.typeName}/${method.name}`;
    const args = [
      "curl",
      "--protocol",
      "grpc",
      "--http2-prior-knowledge",
      "--header",
      `authorization: Bearer ${bootstrapKey}`,
    ];
    const { code, stdout, stderr } = await run(
      program,
      [...args, "--data", "@-", url],
      JSON.stringify(request),
    );
    if (code === 0) {
      // It writes numbers and empty fields in its own way; the generated code reads both.
      return {
        message: toJson(method.output, fromJson(method.output, JSON.parse(stdout), { registry }), {
          registry,
        }),
      };
    }
    const error = JSON.parse(stderr);
    const details = error.details.map(({ type, value }: { type: string; value: string }) =>
      detailOf(type, base64Decode(value)),
    );
    const name = error.code.replace(/(^|_)([a-z])/g, (_: string, __: string, letter: string) =>
      letter.toUpperCase(),
    );
    return { code: name, text: error.message, details: Object.fromEntries(details) };
  };
}

function run(
  program: string,
  args: string[],
  input: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(program, args, { stdio: "pipe" });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}

function detailOf(type: string, value: Uint8Array): [string, JsonValue] {
  const desc = registry.getMessage(type);
  if (desc === undefined) {
    throw new Error(`unknown detail ${type}`);
  }
  // The id of each request is its own.
  const isOwn = type === RequestInfoSchema.typeName;
  return [type, isOwn ? "" : toJson(desc, fromBinary(desc, value))];
}
