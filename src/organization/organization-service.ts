import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { MikroORM } from "@mikro-orm/postgresql";
import {
  type Organization as OrganizationMessage,
  OrganizationSchema,
} from "../../gen/taskledger/v1/organization_pb.ts";
import type { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { toApiKeyMessage, toPbRole } from "../api-key/api-key.message.ts";
import { issueKey } from "../api-key/issue-key.ts";
import { callerOf } from "../auth/caller.ts";
import { toUuid } from "../auth/jwt.ts";
import { emOf } from "../db/em.ts";
import { forOrganization } from "../db/organization.ts";
import { violatedConstraint } from "../db/sql-state.ts";
import { inTransaction, LostRace } from "../db/transaction.ts";
import { LedgerError, notFound } from "../errors.ts";
import { Organization } from "./organization.entity.ts";

/** Serves the organizations of the platform. */
export function organizationService(deps: {
  readonly orm: MikroORM;
  readonly now: () => Date;
  readonly newId: () => string;
}): ServiceImpl<typeof OrganizationService> {
  const { orm, now } = deps;
  return {
    async createOrganization({ name, requestId }, ctx) {
      // The id follows from the request: the same request again finds the organization it made, which
      // nobody could look up, since each sees only its own.
      const id = toUuid(`organization\n${callerOf(ctx).organizationId}\n${requestId}`);
      const { organization, key, secret } = await inTransaction(forOrganization(orm, id), async (em) => {
        let made = await em.findOne(Organization, { id });
        if (made !== null && made.name !== name) {
          throw new LedgerError(
            "REQUEST_ID_REUSED",
            "request_id was used for an organization with another name",
            {
              metadata: { request_id: requestId },
            },
          );
        }
        if (made === null) {
          made = em.create(Organization, { id, name, pageTokenKey: randomBytes(32), createTime: now() });
          await em.flush().catch((error: unknown) => refuse(error, name));
        }
        const wanted = {
          organizationId: id,
          name: "administrator",
          kind: "service-account",
          role: "admin",
        } as const;
        return {
          organization: made,
          ...(await issueKey(em, deps, { ...wanted, expireTime: null, requestId })),
        };
      });
      return { organization: toMessage(organization), apiKey: toApiKeyMessage(key), secret };
    },

    async getOrganization(_request, ctx) {
      const { organizationId, subject, kind, role, keyName } = callerOf(ctx);
      const organization = await emOf(ctx).findOne(Organization, { id: organizationId });
      if (organization === null) {
        throw notFound("organization");
      }
      return { organization: toMessage(organization), subject, kind, role: toPbRole(role), keyName };
    },
  };
}

function refuse(error: unknown, name: string): never {
  switch (violatedConstraint(error)) {
    case "organization_pkey":
      throw new LostRace();
    case "organization_name_key":
      throw new LedgerError(
        "NAME_TAKEN",
        `an organization named ${JSON.stringify(name)} exists already; choose another name`,
        {
          metadata: { name },
        },
      );
    default:
      throw error;
  }
}

function toMessage({ id, name, createTime }: Organization): OrganizationMessage {
  return create(OrganizationSchema, { id, name, createTime: timestampFromDate(createTime) });
}
