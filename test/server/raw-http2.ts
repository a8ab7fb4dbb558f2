import { connectRaw } from "./raw-http1.ts";

/** What every HTTP/2 connection begins with. */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Types of frames. */
export const frameTypes = { data: 0, headers: 1, resetStream: 3, settings: 4, ping: 6, goAway: 7 } as const;

/** A frame as it came from the server. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** A connection on which a test writes frames of its own, valid or not. */
export interface RawHttp2 {
  /** Writes a frame; waits until it is handed to the system. */
  write(type: number, flags: number, streamId: number, payload?: Uint8Array): Promise<void>;
  /** Opens a stream with a POST. The bodies of its requests never end unless a DATA frame says so. */
  post(streamId: number, path: string, contentType: string): Promise<void>;
  frames(): Frame[];
  closed(): Promise<number>;
  destroy(): void;
}

/** Begins an HTTP/2 connection. */
export async function connectRawHttp2(port: number): Promise<RawHttp2> {
  const { socket, received, closed } = await connectRaw(port);
  socket.write(Buffer.concat([preface, encode(frameTypes.settings, 0, 0)]));
  const write: RawHttp2["write"] = (...frame) =>
    new Promise((resolve) => {
      socket.write(encode(...frame), () => resolve());
    });
  return {
    write,
    post: (streamId, path, contentType) =>
      write(frameTypes.headers, 0x4, streamId, encodePost(path, contentType)),
    frames: () => decode(Buffer.from(received(), "latin1")),
    closed,
    destroy: () => socket.destroy(),
  };
}

function encode(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** Encodes headers as HPACK literals without an index, which is all a test needs. */
export function encodeHeaders(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  const literals = headers.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]);
  return Buffer.concat(literals);
}

function encodePost(path: string, contentType: string): Buffer {
  return encodeHeaders([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
    ["content-type", contentType],
  ]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  // Lengths are integers with a prefix of 7 bits.
  const length: number[] = [];
  if (bytes.length < 127) {
    length.push(bytes.length);
  } else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>= 7) {
      length.push((rest & 127) | 128);
    }
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

function decode(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    frames.push({
      type: bytes[at + 3] ?? 0,
      flags: bytes[at + 4] ?? 0,
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return frames;
}
