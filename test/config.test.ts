import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConfigError, limitVariable, readConfig } from "../src/config.ts";
import { defaultDatabaseLimits } from "../src/db/orm.ts";
import { defaultLimits, type Limits, limitRanges } from "../src/server/limits.ts";

const limitNames = Object.keys(limitRanges) as (keyof Limits)[];

describe("the configuration", () => {
  test("is safe without any environment", () => {
    expect(readConfig({})).toMatchObject({
      port: 8080,
      host: "127.0.0.1",
      workers: 1,
      corsOrigins: [],
      drainSeconds: 20,
    });
  });

  test("takes an empty variable for none", () => {
    expect(readConfig({ PORT: "", JWT_ISSUER: "" })).toMatchObject({ port: 8080, jwt: undefined });
  });

  const jwt = { JWT_ISSUER: "https://i", JWT_AUDIENCE: "a", JWT_JWKS_URL: "https://i/jwks" };
  const refused: [string, Record<string, string>, string][] = [
    ["a port that is none", { PORT: "80a" }, "PORT"],
    ["no process at all", { WORKERS: "0" }, "WORKERS"],
    ["a short bootstrap key", { TASKLEDGER_BOOTSTRAP_KEY: "x".repeat(31) }, "TASKLEDGER_BOOTSTRAP_KEY"],
    ["an issuer without an audience", { JWT_ISSUER: "https://i" }, "JWT_AUDIENCE"],
    ["keys over plaintext", { ...jwt, JWT_JWKS_URL: "http://example.com/jwks" }, "JWT_JWKS_URL"],
    ["a certificate without a key", { TLS_CERT: "x" }, "TLS_KEY"],
    ["a certificate that is not there", { TLS_CERT: "/no/such", TLS_KEY: "/no/such" }, "TLS_CERT"],
    ["an origin with a path", { CORS_ORIGINS: "https://a.example/x" }, "CORS_ORIGINS"],
    ["another database", { DATABASE_URL: "mysql://a/b" }, "DATABASE_URL"],
    ["a log level that is none", { LOG_LEVEL: "loud" }, "LOG_LEVEL"],
  ];
  for (const [name, env, variable] of refused) {
    test(`refuses ${name} and names the variable`, () => {
      expect(() => readConfig(env)).toThrow(ConfigError);
      expect(() => readConfig(env)).toThrow(variable);
    });
  }

  test("takes keys over plaintext from this machine", () => {
    expect(readConfig({ ...jwt, JWT_JWKS_URL: "http://127.0.0.1:1/jwks" }).jwt).toMatchObject({
      issuer: "https://i",
    });
  });

  test("names every variable that is wrong at once", () => {
    expect(() => readConfig({ PORT: "x", LOG_LEVEL: "y" })).toThrow(/PORT[\s\S]*LOG_LEVEL/);
  });

  test("sets each limit of the server by a variable of its own, and leaves the others", () => {
    for (const name of limitNames) {
      const { max } = limitRanges[name];
      expect(readConfig({ [limitVariable(name)]: String(max) }).limits).toEqual({
        ...defaultLimits,
        [name]: max,
      });
    }
  });

  test("refuses a limit that is out of bounds, no whole number, or of no use", () => {
    for (const name of limitNames) {
      const variable = limitVariable(name);
      const { min, max } = limitRanges[name];
      for (const value of [min - 1, max + 1, min + 0.5, "many"]) {
        expect(() => readConfig({ [variable]: String(value) }), `${variable}=${value}`).toThrow(variable);
      }
    }
  });

  test("sets each limit of the database by a variable of its own", () => {
    const variables = {
      DATABASE_POOL: "pool",
      DATABASE_ACQUIRE_TIMEOUT_MS: "acquireTimeoutMs",
      DATABASE_STATEMENT_TIMEOUT_MS: "statementTimeoutMs",
      DATABASE_LOCK_TIMEOUT_MS: "lockTimeoutMs",
      DATABASE_IDLE_TIMEOUT_MS: "idleInTransactionTimeoutMs",
    } as const;
    expect(Object.values(variables).sort()).toEqual(Object.keys(defaultDatabaseLimits).sort());
    for (const [variable, name] of Object.entries(variables)) {
      const value = name === "pool" ? 7 : 1234;
      const { databaseLimits } = readConfig({ [variable]: String(value) });
      expect(databaseLimits).toEqual({ ...defaultDatabaseLimits, [name]: value });
      expect(() => readConfig({ [variable]: "0" })).toThrow(variable);
    }
  });

  test("is documented: each limit with its variable, default and bounds", () => {
    const page = readFileSync(new URL("../docs/configuration.md", import.meta.url), "utf8");
    const rows = page
      .split("\n")
      .filter((line) => line.startsWith("| `LIMIT_"))
      .map((line) =>
        line
          .split("|")
          .slice(1, 4)
          .map((cell) => cell.trim()),
      );
    expect(rows).toEqual(
      limitNames.map((name) => {
        const { value, min, max } = limitRanges[name];
        return [`\`${limitVariable(name)}\``, String(value), `${min} to ${max}`];
      }),
    );
  });
});
