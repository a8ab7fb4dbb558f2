import { type EntityManager, LockMode } from "@mikro-orm/postgresql";
import { createSecret, hashSecret, prefixOf } from "../auth/api-key.ts";
import type { KeyKind, Role } from "../auth/caller.ts";
import { violatedConstraint } from "../db/sql-state.ts";
import { LostRace } from "../db/transaction.ts";
import { LedgerError } from "../errors.ts";
import { ApiKey } from "./api-key.entity.ts";

/** How many keys an organization may have that are not revoked. */
const maxKeys = 1000;

/** What is asked for in a new key. */
export interface NewKey {
  readonly organizationId: string;
  readonly name: string;
  readonly kind: KeyKind;
  readonly role: Role;
  readonly expireTime: Date | null;
  readonly requestId: string;
}

/**
 * Creates a key within a transaction, or gives the one of the same request a new secret as long as nobody
 * has used it: then the answer to the request before was lost, and with it the secret.
 *
 * @throws LedgerError REQUEST_ID_REUSED if the key was used or other content was asked for; LIMIT_REACHED
 */
export async function issueKey(
  em: EntityManager,
  deps: { readonly now: () => Date; readonly newId: () => string },
  wanted: NewKey,
): Promise<{ key: ApiKey; secret: string }> {
  const secret = createSecret();
  const hash = { secretHash: hashSecret(secret), secretPrefix: prefixOf(secret) };
  const known = await em.findOne(
    ApiKey,
    { requestId: wanted.requestId },
    { lockMode: LockMode.PESSIMISTIC_WRITE, populate: ["secretHash"] },
  );
  if (known !== null) {
    if (known.lastUseTime !== null || known.revokeTime !== null || !isSame(known, wanted)) {
      throw new LedgerError(
        "REQUEST_ID_REUSED",
        `request_id ${JSON.stringify(wanted.requestId)} was used for a key that is in use or has other content; use a new one`,
        { metadata: { request_id: wanted.requestId } },
      );
    }
    Object.assign(known, hash);
    await em.flush();
    return { key: known, secret };
  }
  if ((await em.count(ApiKey, { revokeTime: null })) >= maxKeys) {
    throw new LedgerError(
      "LIMIT_REACHED",
      `the organization has ${maxKeys} API keys, which is the limit; revoke some`,
      {
        metadata: { limit: String(maxKeys) },
      },
    );
  }
  const key = em.create(ApiKey, { ...wanted, ...hash, id: deps.newId(), createTime: deps.now() });
  try {
    await em.flush();
  } catch (error) {
    // Another server answers the same request at the same time: look again.
    throw violatedConstraint(error) === "api_key_request_id_key" ? new LostRace() : error;
  }
  return { key, secret };
}

function isSame(known: ApiKey, { name, kind, role, expireTime }: NewKey): boolean {
  return (
    known.name === name &&
    known.kind === kind &&
    known.role === role &&
    known.expireTime?.getTime() === expireTime?.getTime()
  );
}
