import { defineEntity, p } from "@mikro-orm/core";
import type { KeyKind, Role } from "../auth/caller.ts";
import { organizationFilter } from "../db/organization.ts";

const schema = defineEntity({
  name: "ApiKey",
  tableName: "api_key",
  properties: {
    organizationId: p.uuid().primary(),
    id: p.uuid().primary(),
    name: p.text(),
    kind: p.text().$type<KeyKind>(),
    role: p.text().$type<Role>(),
    secretPrefix: p.text(),
    secretHash: p.blob().lazy(),
    previousSecretHash: p.blob().nullable().lazy(),
    previousExpireTime: p.datetime(3).nullable(),
    requestId: p.text(),
    rotateRequestId: p.text().nullable(),
    createTime: p.datetime(3),
    expireTime: p.datetime(3).nullable(),
    revokeTime: p.datetime(3).nullable(),
    lastUseTime: p.datetime(3).nullable(),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/** A credential of an organization. The secret itself is not stored, only its SHA-256. */
export class ApiKey extends schema.class {}
schema.setClass(ApiKey);
