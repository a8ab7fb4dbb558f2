import { oneLine } from "./text.ts";

/** What the log says of one error in a chain of causes. */
export interface LoggedCause {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack: readonly string[];
}

const maxCauses = 4;
const maxFrames = 20;
const withheld = "(withheld: it may quote data)";

/**
 * Returns what the log may say of the cause of an error, outermost first.
 *
 * Errors of the database and of JSON.parse quote what they choke on, which may be a customer's payload, and
 * MikroORM's quote the whole statement. So their messages are withheld; the code and the stack are enough.
 */
export function describeCause(cause: unknown): LoggedCause[] {
  const causes: LoggedCause[] = [];
  let error = cause;
  while (error !== undefined && error !== null && causes.length < maxCauses) {
    if (!(error instanceof Error)) {
      causes.push({ type: typeof error, message: withheld, stack: [] });
      break;
    }
    const code = "code" in error && typeof error.code === "string" ? oneLine(error.code, 64) : undefined;
    causes.push({
      type: oneLine(error.name, 64),
      message: quotesData(error, code) ? withheld : oneLine(error.message),
      ...(code === undefined ? {} : { code }),
      stack: framesOf(error),
    });
    error = error.cause;
  }
  return causes;
}

function quotesData(error: Error, code: string | undefined): boolean {
  const isSqlState = code !== undefined && /^[0-9A-Z]{5}$/.test(code);
  return isSqlState || error instanceof SyntaxError || "query" in error || "sql" in error;
}

function framesOf({ stack = "" }: Error): string[] {
  const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
  return frames.slice(0, maxFrames).map((line) => oneLine(line.trim()));
}
