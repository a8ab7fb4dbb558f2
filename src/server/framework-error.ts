import { Code, type ConnectError } from "@connectrpc/connect";
import { LedgerError } from "../errors.ts";

/** Makes our error of a message of Connect's that matches a pattern. */
type Rule = readonly [pattern: RegExp, make: (match: RegExpExecArray, input: string) => LedgerError];

/**
 * What Connect itself says of a request, in our words.
 *
 * Its codes alone will not do: bytes that are no message are "internal" to Connect, which would send
 * the caller to us and us to our logs for what is the caller's mistake.
 */
const rules: readonly Rule[] = [
  [
    /^cannot decode message \S+ from JSON: (.*)$/s,
    ([, what], input) => malformed(`the request is not valid JSON for ${input}: ${what}`),
  ],
  [
    /^cannot decode (.*)$/s,
    ([, what], input) => malformed(`the request is not valid JSON for ${input}: cannot decode ${what}`),
  ],
  [/^parse binary: (.*)$/s, ([, what = ""], input) => undecodable(input, what)],
  [/^protocol error: incomplete envelope/, () => malformed("the request ended in the middle of a message")],
  [/^protocol error: missing input message/, (_, input) => malformed(`the request holds no ${input}`)],
  [
    /^protocol error: received extra input/,
    (_, input) => malformed(`the request holds more than one ${input}`),
  ],
  [
    /^protocol error: promised (\d+) bytes, received (\d+)/,
    ([, promised, received]) =>
      malformed(`the request was announced with ${promised} bytes and has ${received}`),
  ],
  [
    /^protocol error: invalid (?:grpc|connect) timeout value/,
    () =>
      malformed(
        "the deadline is not valid: send Connect-Timeout-Ms with milliseconds, or grpc-timeout such as 5S",
      ),
  ],
  [
    /^unknown compression "(.*)"/s,
    ([, name]) =>
      malformed(`the request is compressed with "${name}"; send it with gzip or without compression`),
  ],
  [/^received compressed envelope, but/, () => malformed("a message is compressed, but no header says how")],
  [/^decompression failed/, () => malformed("the request cannot be decompressed with gzip")],
  [/readMaxBytes (\d+)/, ([, limit = ""]) => tooLarge("request", limit)],
  [/writeMaxBytes (\d+)/, ([, limit = ""]) => tooLarge("response", limit)],
];

/**
 * Returns what the caller may know of an error that Connect raised, or undefined if it is a defect of ours.
 *
 * @param input the name of the request message of the method
 */
export function fromFrameworkError(error: ConnectError, input: string): LedgerError | undefined {
  for (const [pattern, make] of rules) {
    const match = pattern.exec(error.rawMessage);
    if (match !== null) {
      return make(match, input);
    }
  }
  switch (error.code) {
    case Code.DeadlineExceeded:
      return deadlineExceeded();
    case Code.Canceled:
      return clientGone();
    case Code.Unimplemented:
      return methodUnknown();
    case Code.InvalidArgument:
      return malformed(`the request is not valid for ${input}`);
    default:
      return undefined;
  }
}

/** Returns the error for a method that the server does not have. */
export function methodUnknown(method?: string): LedgerError {
  return new LedgerError(
    "METHOD_UNKNOWN",
    "no such method; ask grpc.reflection.v1.ServerReflection for those there are",
    method === undefined ? {} : { metadata: { method } },
  );
}

/** Returns the error for a call whose deadline, or the server's own, passed. */
export function deadlineExceeded(): LedgerError {
  return new LedgerError("DEADLINE_EXCEEDED", "the deadline passed before the request was done");
}

/** Returns the error for a client that cancelled its call or went away; nobody but the log will read it. */
export function clientGone(): LedgerError {
  return new LedgerError("CANCELLED", "the client cancelled the request");
}

/** Returns the error for a call that comes, or a stream that is open, while the server shuts down. */
export function draining(): LedgerError {
  return new LedgerError("DRAINING", "the server is shutting down; repeat the request", {
    retryAfterMs: 1000,
  });
}

/** Returns the error for a request whose bytes or headers are not those of a request. */
export function malformed(message: string): LedgerError {
  return new LedgerError("REQUEST_MALFORMED", message);
}

/** Returns the error for bytes that are no message, and what is wrong with them. */
export function undecodable(input: string, what: string): LedgerError {
  return malformed(`the request is not a valid ${input}: ${what}`);
}

/** Returns the error for a message over its limit in bytes. */
export function tooLarge(what: "request" | "response", limit: number | string): LedgerError {
  const advice = what === "response" ? "; ask for less at once" : "";
  return new LedgerError("MESSAGE_TOO_LARGE", `the ${what} is larger than ${limit} bytes${advice}`, {
    metadata: { limit: String(limit) },
  });
}
