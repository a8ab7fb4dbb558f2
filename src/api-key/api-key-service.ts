import { durationMs, timestampDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type EntityManager, LockMode } from "@mikro-orm/postgresql";
import type { ApiKeyService } from "../../gen/taskledger/v1/api_key_service_pb.ts";
import { createSecret, hashSecret, prefixOf } from "../auth/api-key.ts";
import { type Caller, callerOf, type Role } from "../auth/caller.ts";
import { emOf } from "../db/em.ts";
import { inTransaction } from "../db/transaction.ts";
import { LedgerError, notFound } from "../errors.ts";
import { readPage } from "../page-token/page.ts";
import type { PageTokens } from "../page-token/page-token.ts";
import { ApiKey } from "./api-key.entity.ts";
import { fromPbKind, fromPbRole, toApiKeyMessage } from "./api-key.message.ts";
import { issueKey } from "./issue-key.ts";

/** About what a key takes of a page. */
const keyBytes = 1024;

/** Serves the API keys of the caller's organization. */
export function apiKeyService(deps: {
  readonly now: () => Date;
  readonly newId: () => string;
  readonly pageTokens: PageTokens;
}): ServiceImpl<typeof ApiKeyService> {
  const { now, pageTokens } = deps;
  return {
    async createApiKey(request, ctx) {
      const caller = callerOf(ctx);
      const role = fromPbRole(request.role);
      expectNotAbove(caller, role);
      const wanted = {
        organizationId: caller.organizationId,
        name: request.name,
        kind: fromPbKind(request.kind),
        role,
        expireTime: request.expireTime ? timestampDate(request.expireTime) : null,
        requestId: request.requestId,
      };
      const { key, secret } = await inTransaction(emOf(ctx), (em) => issueKey(em, deps, wanted));
      return { apiKey: toApiKeyMessage(key), secret };
    },

    async listApiKeys(request, ctx) {
      const em = emOf(ctx);
      const { showRevoked } = request;
      const { rows, nextPageToken } = await readPage(em, pageTokens, request, {
        method: "ListApiKeys",
        filter: { showRevoked },
        find: (position, limit) =>
          em.find(
            ApiKey,
            {
              ...(!showRevoked && { revokeTime: null }),
              ...(position !== undefined && { id: { $lt: position } }),
            },
            { orderBy: { id: "desc" }, limit },
          ),
        positionOf: ({ id }) => id,
        bytesOf: () => keyBytes,
      });
      return { apiKeys: rows.map(toApiKeyMessage), nextPageToken };
    },

    async rotateApiKey({ id, overlap, requestId }, ctx) {
      const caller = callerOf(ctx);
      const secret = createSecret();
      const key = await inTransaction(emOf(ctx), async (em) => {
        const found = await lockKey(em, caller, id);
        if (found.revokeTime !== null || (found.expireTime && found.expireTime <= now())) {
          throw new LedgerError("API_KEY_REVOKED", "the API key is revoked or expired; create a new one");
        }
        // The same request again: its first answer was lost, so only the secret that nobody has is replaced.
        if (found.rotateRequestId !== requestId) {
          const overlapMs = overlap ? durationMs(overlap) : 0;
          found.previousSecretHash = found.secretHash;
          found.previousExpireTime = new Date(now().getTime() + overlapMs);
          found.rotateRequestId = requestId;
        }
        found.secretHash = hashSecret(secret);
        found.secretPrefix = prefixOf(secret);
        await em.flush();
        return found;
      });
      return { apiKey: toApiKeyMessage(key), secret };
    },

    async revokeApiKey({ id }, ctx) {
      const caller = callerOf(ctx);
      const key = await inTransaction(emOf(ctx), async (em) => {
        // All administrators' keys are locked, so that two cannot be revoked as the last but one at once.
        const admins = await em.find(
          ApiKey,
          { role: { $in: ["admin", "platform_admin"] }, revokeTime: null },
          { orderBy: { id: "asc" }, lockMode: LockMode.PESSIMISTIC_WRITE },
        );
        const found = await lockKey(em, caller, id);
        const left = admins.filter(
          (admin) => admin.id !== found.id && (!admin.expireTime || admin.expireTime > now()),
        );
        if (found.revokeTime === null) {
          if (admins.includes(found) && left.length === 0) {
            throw new LedgerError(
              "LAST_ADMINISTRATOR",
              "this is the last administrator's key of the organization; create another first",
            );
          }
          found.revokeTime = now();
          await em.flush();
        }
        return found;
      });
      return { apiKey: toApiKeyMessage(key) };
    },
  };
}

async function lockKey(em: EntityManager, caller: Caller, id: string): Promise<ApiKey> {
  const key = await em.findOne(
    ApiKey,
    { id },
    { lockMode: LockMode.PESSIMISTIC_WRITE, populate: ["secretHash", "previousSecretHash"] },
  );
  if (key === null) {
    throw notFound("API key");
  }
  expectNotAbove(caller, key.role);
  return key;
}

/** Nobody hands out, or takes over, more than they have. Only administrators come here. */
function expectNotAbove(caller: Caller, role: Role): void {
  if (role === "platform_admin" && caller.role !== "platform_admin") {
    throw new LedgerError(
      "ROLE_INSUFFICIENT",
      `role ${caller.role} may not handle keys with the role ${role}`,
      {
        metadata: { role: caller.role, needed: role },
      },
    );
  }
}
