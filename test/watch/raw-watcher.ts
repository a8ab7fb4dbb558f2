import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  type WatchTaskExecutionsRequest,
  WatchTaskExecutionsRequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";

/** The numbers of the fields that a raw watcher looks at. */
const fields = { snapshot: 2, synced: 3, changes: 4, taskExecutions: 1 } as const;

/** How a raw watcher watches. */
export interface RawWatch {
  readonly flowExecutionId: string;
  readonly subject: string;
  readonly onSynced: () => void;
  /** Is told how many records each message tells of. */
  readonly onRecords: (count: number) => void;
  readonly signal: AbortSignal;
}

/** Connects for raw watchers: each connection takes a hundred. */
export function connectForRaw(origin: string): ClientHttp2Session {
  return connect(origin);
}

/** Asks for a watch over gRPC, and leaves the answer to be read. */
export function openRawWatch(
  session: ClientHttp2Session,
  subject: string,
  request: WatchTaskExecutionsRequest,
): ClientHttp2Stream {
  const body = toBinary(WatchTaskExecutionsRequestSchema, request);
  const stream = session.request({
    ":method": "POST",
    ":path": "/taskledger.v1.TaskExecutionService/WatchTaskExecutions",
    "content-type": "application/grpc+proto",
    te: "trailers",
    authorization: `Bearer ${subject}`,
  });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  stream.end(Buffer.concat([head, body]));
  return stream;
}

/**
 * Watches a run over gRPC and counts what it is told of without reading it: so that hundreds of watchers on one
 * machine do not take the time of the service whose time is measured.
 */
export function watchRaw(session: ClientHttp2Session, watch: RawWatch): Promise<void> {
  const { flowExecutionId, subject, signal } = watch;
  const stream = openRawWatch(
    session,
    subject,
    create(WatchTaskExecutionsRequestSchema, { flowExecutionId }),
  );
  signal.addEventListener("abort", () => stream.close(), { once: true });
  let rest: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      look(rest.subarray(5, end), watch);
      rest = rest.subarray(end);
    }
  });
  return new Promise((resolve, reject) => {
    stream.on("error", (error) => (signal.aborted ? resolve() : reject(error)));
    stream.on("close", () => (signal.aborted ? resolve() : reject(new Error("a raw watch ended"))));
  });
}

function look(message: Uint8Array, { onSynced, onRecords }: RawWatch): void {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === fields.changes || field === fields.snapshot) {
      onRecords(countRecords(reader.bytes()));
    } else {
      if (field === fields.synced) onSynced();
      reader.skip(type, field);
    }
  }
}

function countRecords(content: Uint8Array): number {
  const reader = new BinaryReader(content);
  let count = 0;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === fields.taskExecutions) count++;
    reader.skip(type, field);
  }
  return count;
}
