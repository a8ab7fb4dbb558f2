import {
  type ContextValues,
  createContextKey,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { LedgerError } from "../errors.ts";
import type { Admit } from "../server/adapter.ts";
import type { HeaderReader } from "../server/node-http.ts";
import { isOpenService } from "../server/open-services.ts";
import { type Caller, callerKey } from "./caller.ts";

/** Finds out whose a credential is: undefined if nobody's. Throws only if that cannot be found out now. */
export type Authenticate = (credential: string) => Promise<Caller | undefined>;

/** Looks once more whose the credential of a call is. Set by the authentication interceptor. */
const recheckKey = createContextKey<() => Promise<void>>(() => Promise.reject(invalid()), {
  description: "recheck",
});

/**
 * Returns the check for calls that last: it throws if their credential is not valid any more, or says something else
 * than it did.
 */
export function recheckOf(ctx: HandlerContext): () => Promise<void> {
  return ctx.values.get(recheckKey);
}

/** No header holds as much; what does is not looked at. */
const maxLength = 16_384;

/**
 * Returns the interceptor that sets the caller of each call, or refuses it, unless that was done before the body
 * was read.
 *
 * Health and reflection need no credential: they show no data.
 */
export function createAuthenticationInterceptor(authenticate: Authenticate): Interceptor {
  return (next) => async (req) => {
    if (!isOpenService(req.service) && req.contextValues.get(callerKey) === undefined) {
      await setCaller(authenticate, req.header, req.contextValues);
    }
    return await next(req);
  };
}

/**
 * Returns the check that stands before the body of a call: from nobody it is neither kept nor decoded. A few
 * megabytes take up to a second to decode, and as much memory as a hundred others.
 *
 * @param mostAtOnce how many credentials are looked up at once
 */
export function createAdmission(authenticate: Authenticate, mostAtOnce: number): Admit {
  let pending = 0;
  return async (service, header, values) => {
    if (isOpenService(service)) {
      return;
    }
    if (pending >= mostAtOnce) {
      throw new LedgerError("TOO_MANY_REQUESTS", `${mostAtOnce} requests are looked at; repeat the request`, {
        retryAfterMs: 500,
      });
    }
    pending++;
    try {
      await setCaller(authenticate, header, values);
    } catch (error) {
      // What is no answer, such as an outage, is told by the interceptors.
      if (error instanceof LedgerError) throw error;
    } finally {
      pending--;
    }
  };
}

async function setCaller(
  authenticate: Authenticate,
  header: HeaderReader,
  values: ContextValues,
): Promise<void> {
  const credential = credentialOf(header);
  const caller = await authenticate(credential);
  if (caller === undefined) {
    throw invalid();
  }
  values.set(callerKey, caller);
  values.set(recheckKey, async () => {
    const now = await authenticate(credential);
    if (now?.organizationId !== caller.organizationId || now.role !== caller.role) {
      throw invalid();
    }
  });
}

function credentialOf(header: HeaderReader): string {
  const authorization = header.get("authorization");
  const apiKey = header.get("x-api-key");
  if (authorization === null && apiKey === null) {
    throw new LedgerError(
      "CREDENTIAL_MISSING",
      "no credential: send Authorization: Bearer <key or JWT>, or X-API-Key",
    );
  }
  const credential = apiKey ?? /^Bearer +([^ ]+)$/i.exec(authorization ?? "")?.[1];
  // Two headers of one name come joined by a comma; which of two credentials counts is not ours to choose.
  const isAmbiguous = authorization !== null && apiKey !== null;
  if (
    isAmbiguous ||
    !credential ||
    credential.length > maxLength ||
    /[^\x21-\x2b\x2d-\x7e]/.test(credential)
  ) {
    throw invalid();
  }
  return credential;
}

function invalid(): LedgerError {
  return new LedgerError(
    "CREDENTIAL_INVALID",
    "the credential is not valid: it is unknown, expired or revoked",
  );
}
