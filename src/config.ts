import { readFileSync } from "node:fs";
import { z } from "zod";
import { defaultDataDir } from "./client/bootstrap-key.ts";
import { type DatabaseLimits, defaultDatabaseLimits } from "./db/orm.ts";
import { type LimitRange, type Limits, limitRanges, mapLimits } from "./server/limits.ts";

const loopback = new Set(["127.0.0.1", "::1", "localhost"]);

const text = z.string().trim().min(1);
const count = (min: number, max: number) => z.coerce.number().int().min(min).max(max);

/** What the environment may say. Each name, its default and the reason for it; docs/configuration.md lists them. */
const environment = z.object({
  PORT: count(0, 65_535).default(8080),
  /** Not reachable from other machines unless told otherwise. */
  HOST: text.default("127.0.0.1"),
  /** The service's role. Without it an embedded PostgreSQL is started. */
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  /** The owner's role, for `npm run migrate` only. */
  MIGRATION_DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  /** Processes that serve. One core is busy with one; of several, each has its own pool and limits. */
  WORKERS: count(1, 64).default(1),
  /** Two cores are busy with ten transactions. */
  DATABASE_POOL: count(1, 200).default(defaultDatabaseLimits.pool),
  /** The reasons for these four stand at DatabaseLimits. */
  DATABASE_ACQUIRE_TIMEOUT_MS: count(100, 60_000).default(defaultDatabaseLimits.acquireTimeoutMs),
  DATABASE_STATEMENT_TIMEOUT_MS: count(100, 600_000).default(defaultDatabaseLimits.statementTimeoutMs),
  DATABASE_LOCK_TIMEOUT_MS: count(100, 60_000).default(defaultDatabaseLimits.lockTimeoutMs),
  DATABASE_IDLE_TIMEOUT_MS: count(1000, 600_000).default(defaultDatabaseLimits.idleInTransactionTimeoutMs),
  TASKLEDGER_DATA_DIR: text.default(defaultDataDir),
  TASKLEDGER_BOOTSTRAP_KEY: z.string().min(32, "must have at least 32 characters").max(512).optional(),
  JWT_ISSUER: text.optional(),
  JWT_AUDIENCE: text.optional(),
  JWT_JWKS_URL: z.url({ protocol: /^https?$/ }).optional(),
  JWT_ORGANIZATION_CLAIM: text.default("organization_id"),
  JWT_ROLE_CLAIM: text.default("role"),
  /** Comma-separated origins, or `*`: no cookies are used, so that a page of another site gains nothing. */
  CORS_ORIGINS: z.string().default(""),
  TLS_CERT: text.optional(),
  TLS_KEY: text.optional(),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
  /** What most orchestrators wait between SIGTERM and SIGKILL is 30 s; this leaves room. */
  DRAIN_SECONDS: count(1, 3600).default(20),
  ...limitVariables(),
});

/** Where JWTs come from, and which of their claims say whose they are. */
export interface JwtConfig {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: string;
  readonly organizationClaim: string;
  readonly roleClaim: string;
}

/** What the environment says, checked. */
export type Config = ReturnType<typeof readConfig>;

/** An environment that the service refuses to start with. Its message names every variable that is wrong. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Reads the configuration from the environment.
 *
 * @throws ConfigError if a variable is malformed, unsafe, or lacks its companion
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>) {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = environment.safeParse(given);
  if (!parsed.success) {
    throw new ConfigError(
      parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n"),
    );
  }
  const values = parsed.data;
  const jwt = readJwt(values);
  return {
    port: values.PORT,
    host: values.HOST,
    workers: values.WORKERS,
    databaseUrl: values.DATABASE_URL,
    databaseLimits: readDatabaseLimits(values),
    limits: readLimits(values),
    dataDir: values.TASKLEDGER_DATA_DIR,
    bootstrapKey: values.TASKLEDGER_BOOTSTRAP_KEY,
    jwt,
    corsOrigins: readOrigins(values.CORS_ORIGINS),
    tls: readTls(values),
    logLevel: values.LOG_LEVEL,
    drainSeconds: values.DRAIN_SECONDS,
  };
}

type Values = z.infer<typeof environment>;

/** Returns the variable that sets a limit of the server: LIMIT_READ_MAX_BYTES for readMaxBytes. */
export function limitVariable(name: keyof Limits): string {
  return `LIMIT_${name.replace(/[A-Z]/g, "_$&").toUpperCase()}`;
}

function limitVariables(): Record<string, z.ZodType<number>> {
  const ranges = Object.entries(limitRanges) as [keyof Limits, LimitRange][];
  return Object.fromEntries(
    ranges.map(([name, { value, min, max }]) => [limitVariable(name), count(min, max).default(value)]),
  );
}

function readLimits(values: Values): Limits {
  return mapLimits((_range, name) => (values as Record<string, unknown>)[limitVariable(name)] as number);
}

function readDatabaseLimits(values: Values): DatabaseLimits {
  return {
    pool: values.DATABASE_POOL,
    acquireTimeoutMs: values.DATABASE_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: values.DATABASE_STATEMENT_TIMEOUT_MS,
    lockTimeoutMs: values.DATABASE_LOCK_TIMEOUT_MS,
    idleInTransactionTimeoutMs: values.DATABASE_IDLE_TIMEOUT_MS,
  };
}

function readJwt(values: Values): JwtConfig | undefined {
  const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWT_JWKS_URL: jwksUrl } = values;
  if (issuer === undefined && audience === undefined && jwksUrl === undefined) {
    return undefined;
  }
  if (issuer === undefined || audience === undefined || jwksUrl === undefined) {
    throw new ConfigError("JWT_ISSUER, JWT_AUDIENCE and JWT_JWKS_URL: set all three or none");
  }
  const url = new URL(jwksUrl);
  if (url.protocol === "http:" && !loopback.has(url.hostname)) {
    throw new ConfigError("JWT_JWKS_URL: keys fetched without TLS could be anybody's; use https");
  }
  const { JWT_ORGANIZATION_CLAIM: organizationClaim, JWT_ROLE_CLAIM: roleClaim } = values;
  return { issuer, audience, jwksUrl, organizationClaim, roleClaim };
}

function readTls({ TLS_CERT, TLS_KEY }: Values): { cert: Buffer; key: Buffer } | undefined {
  if (TLS_CERT === undefined && TLS_KEY === undefined) {
    return undefined;
  }
  if (TLS_CERT === undefined || TLS_KEY === undefined) {
    throw new ConfigError("TLS_CERT and TLS_KEY: set both, the paths of two PEM files, or none");
  }
  try {
    return { cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) };
  } catch (error) {
    throw new ConfigError(`TLS_CERT and TLS_KEY: ${(error as Error).message}`);
  }
}

function readOrigins(list: string): string[] {
  const origins = list
    .split(",")
    .map((origin) => origin.trim())
    .filter(Boolean);
  for (const origin of origins) {
    if (origin !== "*" && URL.parse(origin)?.origin !== origin) {
      throw new ConfigError(`CORS_ORIGINS: ${origin} is not an origin such as https://app.example.com`);
    }
  }
  return origins;
}
