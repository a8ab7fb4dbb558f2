import { describe, expect, test } from "vitest";
import { ConfigError, readConfig } from "../src/config.ts";

describe("the configuration", () => {
  test("is safe without any environment", () => {
    expect(readConfig({})).toMatchObject({
      port: 8080,
      host: "127.0.0.1",
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
});
