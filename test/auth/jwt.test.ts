import { createHmac, createPublicKey } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  SignJWT,
} from "jose";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Authenticate } from "../../src/auth/authentication-interceptor.ts";
import { createJwtAuthentication } from "../../src/auth/jwt.ts";

const organizationId = "01a20b65-dd1f-7000-b868-0ed5f3f1f104";
const subject = "7d9f0f4e-8a0c-4a57-9a3c-0b6a3f3a5f11";
const issuer = "https://issuer.example";
const now = new Date("2026-01-01T00:00:00Z");
const seconds = now.getTime() / 1000;

describe("a JWT", () => {
  let server: Server;
  let fetches = 0;
  let published: JWK[] = [];
  let keys: { privateKey: CryptoKey; publicKey: CryptoKey };
  let authenticate: Authenticate;

  beforeAll(async () => {
    keys = await generateKeyPair("RS256", { extractable: true });
    published = [{ ...(await exportJWK(keys.publicKey)), kid: "one", alg: "RS256" }];
    server = createServer((_request, response) => {
      fetches++;
      response.setHeader("content-type", "application/json").end(JSON.stringify({ keys: published }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    authenticate = createAuthentication();
  });
  afterAll(() => void server.close());

  function createAuthentication(): Authenticate {
    const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
    const claims = { organizationClaim: "organization_id", roleClaim: "role" };
    return createJwtAuthentication({ issuer, audience: "taskledger", jwksUrl, ...claims }, () => now);
  }

  function sign(
    claims: JWTPayload = {},
    header: object = {},
    key: CryptoKey = keys.privateKey,
  ): Promise<string> {
    const payload = {
      iss: issuer,
      aud: "taskledger",
      sub: subject,
      iat: seconds,
      exp: seconds + 3600,
      organization_id: organizationId,
      role: "editor",
      ...claims,
    };
    const present = Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined));
    return new SignJWT(present).setProtectedHeader({ alg: "RS256", kid: "one", ...header }).sign(key);
  }

  test("of the issuer says who calls", async () => {
    expect(await authenticate(await sign())).toEqual({
      organizationId,
      subject,
      kind: "user",
      role: "editor",
      keyName: "",
    });
  });

  test("with a subject that is no UUID always gives the same UUID", async () => {
    const [a, b, other] = await Promise.all(
      ["auth0|1", "auth0|1", "auth0|2"].map(
        async (sub) => (await authenticate(await sign({ sub })))?.subject,
      ),
    );
    expect(a).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect([a === b, a === other]).toEqual([true, false]);
  });

  const claims: [string, Record<string, unknown>, boolean][] = [
    ["expired within the tolerance", { exp: seconds - 29, iat: seconds - 100 }, true],
    ["expired a minute ago", { exp: seconds - 61, iat: seconds - 100 }, false],
    ["not valid for 29 seconds yet", { nbf: seconds + 29 }, true],
    ["not valid for two minutes yet", { nbf: seconds + 120 }, false],
    ["issued in the far future", { iat: seconds + 86_400 }, false],
    ["that never expires", { exp: undefined }, false],
    ["that expires in words", { exp: "tomorrow" }, false],
    ["that expires at 1e30", { exp: 1e30 }, false],
    ["that lives longer than a day", { exp: seconds + 25 * 3600 }, false],
    ["without an audience", { aud: undefined }, false],
    ["for several audiences with ours", { aud: ["other", "taskledger"] }, true],
    ["for another audience", { aud: "taskledger2" }, false],
    ["for a part of our audience", { aud: "task" }, false],
    ["of an issuer with a slash more", { iss: `${issuer}/` }, false],
    ["of an issuer in other case", { iss: issuer.toUpperCase() }, false],
    ["without a subject", { sub: undefined }, false],
    ["without an organization", { organization_id: undefined }, false],
    ["with an empty organization", { organization_id: "" }, false],
    ["with __proto__ for an organization", { organization_id: "__proto__" }, false],
    ["with a list of organizations", { organization_id: [organizationId] }, false],
    ["with a number for an organization", { organization_id: 7 }, false],
    ["with two organizations in one text", { organization_id: `${organizationId},${organizationId}` }, false],
    ["without a role", { role: undefined }, false],
    ["with a role that is none", { role: "root" }, false],
    ["with the role of the platform's administrator", { role: "platform_admin" }, false],
  ];
  for (const [name, more, accepted] of claims) {
    test(`${name} is ${accepted ? "accepted" : "refused"}`, async () => {
      expect((await authenticate(await sign(more))) !== undefined).toBe(accepted);
    });
  }

  const encode = (json: object) => Buffer.from(JSON.stringify(json)).toString("base64url");

  test("without a signature is refused, in any spelling of none", async () => {
    const payload = (await sign()).split(".")[1];
    for (const alg of ["none", "None", "NONE", "nOnE"]) {
      expect(await authenticate(`${encode({ alg })}.${payload}.`)).toBeUndefined();
    }
  });

  test("signed by the public key as a shared secret is refused", async () => {
    const payload = (await sign()).split(".")[1];
    const pem = await exportSPKI(keys.publicKey);
    expect(createPublicKey(pem).type).toBe("public");
    const signed = `${encode({ alg: "HS256", kid: "one" })}.${payload}`;
    const signature = createHmac("sha256", pem).update(signed).digest("base64url");
    expect(await authenticate(`${signed}.${signature}`)).toBeUndefined();
  });

  test("signed by another key, or by the right one in another algorithm, is refused", async () => {
    const other = await generateKeyPair("RS256");
    const elliptic = await generateKeyPair("ES256");
    expect(await authenticate(await sign({}, {}, other.privateKey))).toBeUndefined();
    expect(await authenticate(await sign({}, { alg: "ES256" }, elliptic.privateKey))).toBeUndefined();
  });

  test("that brings its own key, or names where to fetch it, is refused and nothing is fetched there", async () => {
    const other = await generateKeyPair("RS256", { extractable: true });
    const jwk = await exportJWK(other.publicKey);
    let asked = 0;
    const trap = createServer((_request, response) => {
      asked++;
      response.end(JSON.stringify({ keys: [{ ...jwk, kid: "one" }] }));
    });
    await new Promise<void>((resolve) => trap.listen(0, "127.0.0.1", resolve));
    const jku = `http://127.0.0.1:${(trap.address() as AddressInfo).port}/`;
    for (const header of [
      { jwk },
      { jku },
      { x5u: jku },
      { crit: ["x"], x: 1 },
      { b64: false, crit: ["b64"] },
    ]) {
      const token = await sign({}, header, other.privateKey).catch(
        () => `${encode({ alg: "RS256", ...header })}.e30.AA`,
      );
      expect(await authenticate(token)).toBeUndefined();
    }
    trap.close();
    expect(asked).toBe(0);
  });

  test("with a key id that is unknown, huge or hostile is refused, without fetching keys each time", async () => {
    const before = fetches;
    for (const kid of [
      "two",
      "x".repeat(4000),
      "../../etc/passwd",
      "' or 1=1 --",
      ...Array.from({ length: 200 }, (_, i) => `k${i}`),
    ]) {
      expect(await authenticate(await sign({}, { kid }))).toBeUndefined();
    }
    expect(fetches - before).toBeLessThanOrEqual(1);
    expect(await authenticate(await sign())).toBeDefined();
  });

  test("of a key that was published since is accepted after one fetch, and of one that was withdrawn no more", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const before = published;
    try {
      const fresh = await generateKeyPair("RS256", { extractable: true });
      const rotated = createAuthentication();
      const [old, young] = [await sign(), await sign({}, { kid: "three" }, fresh.privateKey)];
      expect(await rotated(old)).toBeDefined();
      published = [{ ...(await exportJWK(fresh.publicKey)), kid: "three", alg: "RS256" }];
      const fetched = fetches;
      // Whoever invents keys must not have them fetched again and again.
      expect(await rotated(young)).toBeUndefined();
      vi.advanceTimersByTime(31_000);
      expect(await rotated(young)).toBeDefined();
      expect(await rotated(old)).toBeUndefined();
      expect(fetches - fetched).toBe(1);
    } finally {
      published = before;
      vi.useRealTimers();
    }
  });

  test("of a key that was withdrawn is refused after ten minutes, also if nobody uses another", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const before = published;
    try {
      const quiet = createAuthentication();
      const token = await sign();
      expect(await quiet(token)).toBeDefined();
      published = [];
      vi.advanceTimersByTime(9 * 60_000);
      expect(await quiet(token)).toBeDefined();
      vi.advanceTimersByTime(61_000);
      expect(await quiet(token)).toBeUndefined();
    } finally {
      published = before;
      vi.useRealTimers();
    }
  });

  test("whose key id two keys have is refused", async () => {
    const before = published;
    const other = await generateKeyPair("RS256", { extractable: true });
    published = [...published, { ...(await exportJWK(other.publicKey)), kid: "one", alg: "RS256" }];
    expect(await createAuthentication()(await sign())).toBeUndefined();
    published = before;
  });

  test("signed by the right key in another algorithm of its kind is refused", async () => {
    const pem = keys.privateKey;
    const pss = await crypto.subtle.importKey(
      "pkcs8",
      await crypto.subtle.exportKey("pkcs8", pem),
      { name: "RSA-PSS", hash: "SHA-256" },
      true,
      ["sign"],
    );
    expect(await authenticate(await sign({}, { alg: "PS256" }, pss))).toBeUndefined();
  });

  test.each<[string, object, boolean]>([
    ["no key id", { kid: undefined }, false],
    ["the type of an access token", { typ: "at+jwt" }, true],
    ["the type in full and in other case", { typ: "application/AT+JWT" }, true],
    ["the type JWT", { typ: "JWT" }, true],
    ["the type of a refresh token", { typ: "refresh+jwt" }, false],
    ["the type of a log-out", { typ: "logout+jwt" }, false],
    ["a type that is no text", { typ: 7 }, false],
  ])("with %s in its header", async (_what, header, accepted) => {
    expect((await authenticate(await sign({}, header))) !== undefined).toBe(accepted);
  });

  test("of an issuer that cannot be reached is refused, and so is anything that is no JWT", async () => {
    const config = {
      organizationClaim: "organization_id",
      roleClaim: "role",
      audience: "taskledger",
      issuer,
    };
    const lost = createJwtAuthentication({ ...config, jwksUrl: "http://127.0.0.1:1/" }, () => now);
    await expect(lost(await sign())).resolves.toBeUndefined();
    for (const text of ["a.b.c", "..", `${"x".repeat(9000)}.b.c`]) {
      expect(await authenticate(text)).toBeUndefined();
    }
  });
});
