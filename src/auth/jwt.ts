import { createHash } from "node:crypto";
import { createRemoteJWKSet, errors, type JWTHeaderParameters, type JWTPayload, jwtVerify } from "jose";
import type { JwtConfig } from "../config.ts";
import type { Authenticate } from "./authentication-interceptor.ts";
import type { Role } from "./caller.ts";

/** Only what an issuer signs with a key that we do not have: a shared secret could be ours to leak. */
const algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/** What clocks may differ by. */
const clockToleranceSeconds = 30;

/** How long a token may be good for: a longer one could hardly be called back. */
const maxLifetimeSeconds = 24 * 60 * 60;

/** A key set is asked for again after this time, and for an unknown key at most once in the cooldown. */
const keySet = { cacheMaxAge: 10 * 60 * 1000, cooldownDuration: 30_000, timeoutDuration: 5000 };

/** Longer tokens are not even parsed. */
const maxLength = 8192;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** What a role claim may say. Administrators of the platform have keys: no issuer of one tenant makes them. */
const roles: ReadonlySet<unknown> = new Set<Role>(["viewer", "worker", "editor", "admin"]);

/**
 * Returns the check of JWTs: signed by the issuer's published keys, for our audience, not expired, and saying
 * in which organization and role a person is.
 *
 * An issuer that cannot be reached makes calls fail as if their tokens were not valid, but for tokens whose
 * keys are known.
 */
export function createJwtAuthentication(config: JwtConfig, now: () => Date): Authenticate {
  const keys = createRemoteJWKSet(new URL(config.jwksUrl), keySet);
  return async (token) => {
    if (token.length > maxLength) {
      return undefined;
    }
    try {
      const { payload, protectedHeader } = await jwtVerify(token, keys, {
        algorithms,
        issuer: config.issuer,
        audience: config.audience,
        clockTolerance: clockToleranceSeconds,
        requiredClaims: ["exp", "sub"],
        currentDate: now(),
      });
      return isAccess(protectedHeader) ? toCaller(payload, config, now()) : undefined;
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof TypeError) {
        return undefined;
      }
      throw error;
    }
  };
}

/** Whether a token is one to call with: issuers sign others with the same keys. It must also name its key. */
function isAccess({ kid, typ }: JWTHeaderParameters): boolean {
  const type: unknown = typ ?? "JWT";
  return kid !== undefined && typeof type === "string" && /^(application\/)?(at\+)?jwt$/i.test(type);
}

function toCaller(payload: JWTPayload, config: JwtConfig, now: Date) {
  const { iss, sub, exp, iat } = payload;
  const organizationId = own(payload, config.organizationClaim);
  const role = own(payload, config.roleClaim);
  const seconds = now.getTime() / 1000;
  const isTooLong =
    (exp ?? 0) - (iat ?? seconds) > maxLifetimeSeconds || (exp ?? 0) - seconds > 2 * maxLifetimeSeconds;
  const isEarly = iat !== undefined && iat > seconds + clockToleranceSeconds;
  if (
    isTooLong ||
    isEarly ||
    typeof organizationId !== "string" ||
    !uuid.test(organizationId) ||
    !roles.has(role)
  ) {
    return undefined;
  }
  return {
    organizationId: organizationId.toLowerCase(),
    subject: toUserId(iss ?? "", sub ?? ""),
    kind: "user" as const,
    role: role as Role,
    keyName: "",
  };
}

function own(payload: JWTPayload, claim: string): unknown {
  return Object.hasOwn(payload, claim) ? payload[claim] : undefined;
}

/** Returns a subject that is a UUID as it is, and any other as a UUID that is always the same for it. */
function toUserId(issuer: string, subject: string): string {
  return uuid.test(subject) ? subject.toLowerCase() : toUuid(`${issuer}\n${subject}`);
}

/** Returns a UUIDv8 of the SHA-256 of a text (RFC 9562, 5.8). */
export function toUuid(text: string): string {
  const bytes = createHash("sha256").update(text).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
