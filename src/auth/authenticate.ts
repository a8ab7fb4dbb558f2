import type { MikroORM } from "@mikro-orm/postgresql";
import type { Logger } from "pino";
import type { JwtConfig } from "../config.ts";
import { createApiKeyAuthentication } from "./api-key.ts";
import type { Authenticate } from "./authentication-interceptor.ts";
import { createJwtAuthentication } from "./jwt.ts";

/** Returns the check of credentials: of JWTs if an issuer is configured, and of API keys. */
export function createAuthenticate(deps: {
  readonly orm: MikroORM;
  readonly jwt?: JwtConfig | undefined;
  readonly now: () => Date;
  readonly log: Pick<Logger, "warn">;
}): Authenticate {
  const byApiKey = createApiKeyAuthentication(deps);
  const byJwt = deps.jwt && createJwtAuthentication(deps.jwt, deps.now);
  return (credential) =>
    byJwt && credential.split(".").length === 3 ? byJwt(credential) : byApiKey(credential);
}
