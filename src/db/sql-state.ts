import { LedgerError, type Problem } from "../errors.ts";

/** What PostgreSQL or its driver says of a failed statement, as far as we go by it. */
interface DatabaseError {
  /** The SQLSTATE, or the code of a system error such as ECONNREFUSED. */
  readonly code?: string | undefined;
  readonly message: string;
  /** The name of the constraint that was violated. */
  readonly constraint?: string | undefined;
}

/** Finds the driver's error in what was thrown; MikroORM wraps it. */
function findDatabaseError(thrown: unknown): DatabaseError | undefined {
  for (let error = thrown, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    const { code } = error as { code?: unknown };
    if (typeof code === "string" || isConnectionLoss(error.message) || isPoolTimeout(error.message)) {
      return error as DatabaseError;
    }
  }
  return undefined;
}

/** Returns the name of the violated constraint, if that is what was thrown. */
export function violatedConstraint(thrown: unknown): string | undefined {
  const error = findDatabaseError(thrown);
  return error?.code?.startsWith("23") ? error.constraint : undefined;
}

/** Reports whether a transaction that failed like this did nothing and may succeed when run again. */
export function isRepeatable(thrown: unknown): boolean {
  const code = findDatabaseError(thrown)?.code;
  return code === "40001" || code === "40P01";
}

/**
 * Returns what the caller may know of a database error, or undefined if it is none that we expect.
 *
 * The database's own words stay in the cause, for the log.
 */
export function toLedgerError(thrown: unknown): LedgerError | undefined {
  const error = findDatabaseError(thrown);
  if (error === undefined) {
    return undefined;
  }
  const code = error.code ?? "";
  if (isPoolTimeout(error.message) || code === "53300") {
    return new LedgerError(
      "POOL_EXHAUSTED",
      "no database connection became free in time; repeat the request",
      {
        retryAfterMs: 500,
        cause: thrown,
      },
    );
  }
  if (code === "53100" || code === "53200") {
    return new LedgerError("STORAGE_FULL", "the database has no room left; nothing was written", {
      retryAfterMs: 5000,
      cause: thrown,
    });
  }
  if (code === "40001" || code === "40P01" || code === "55P03" || code === "23505") {
    return new LedgerError(
      "CONTENTION",
      "too many concurrent changes of the same records; repeat the request",
      {
        retryAfterMs: 100,
        cause: thrown,
      },
    );
  }
  if (code === "57014") {
    return new LedgerError("DEADLINE_EXCEEDED", "the deadline passed before the request was done", {
      cause: thrown,
    });
  }
  // 08P01 means that a value broke the protocol, not the connection: repeating it would break it again.
  if (code === "08P01" || /^(22|23|54)/.test(code)) {
    return new LedgerError("VALIDATION_FAILED", "the request holds a value that cannot be stored", {
      cause: thrown,
    });
  }
  if (/^(08|57P|25006|25P03|25P04)/.test(code) || /^E[A-Z]+$/.test(code) || isConnectionLoss(error.message)) {
    return new LedgerError("DATABASE_UNAVAILABLE", "the database is not available; repeat the request", {
      retryAfterMs: 1000,
      cause: thrown,
    });
  }
  return undefined;
}

/**
 * Reports whether an error would have come whatever the statements were about: the database is away, full or crowded,
 * or others hold what they need.
 */
export function isOutage(thrown: unknown): boolean {
  const { problem } = thrown instanceof LedgerError ? thrown : (toLedgerError(thrown) ?? {});
  return problem !== undefined && outages.has(problem) && findDatabaseError(thrown)?.code !== "23505";
}

const outages: ReadonlySet<Problem> = new Set([
  "DATABASE_UNAVAILABLE",
  "POOL_EXHAUSTED",
  "STORAGE_FULL",
  "CONTENTION",
]);

function isConnectionLoss(message: string): boolean {
  return /^(Connection terminated|Client has encountered a connection error|Client was closed)/.test(message);
}

function isPoolTimeout(message: string): boolean {
  return message.startsWith("timeout exceeded when trying to connect");
}
