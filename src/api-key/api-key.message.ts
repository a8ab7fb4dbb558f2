import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type ApiKey as ApiKeyMessage,
  ApiKeySchema,
  ApiKey_Kind as PbKind,
  ApiKey_Role as PbRole,
} from "../../gen/taskledger/v1/api_key_pb.ts";
import type { KeyKind, Role } from "../auth/caller.ts";
import type { ApiKey } from "./api-key.entity.ts";

const pbKinds: Readonly<Record<KeyKind, PbKind>> = {
  worker: PbKind.WORKER,
  integration: PbKind.INTEGRATION,
  "service-account": PbKind.SERVICE_ACCOUNT,
};

const pbRoles: Readonly<Record<Role, PbRole>> = {
  viewer: PbRole.VIEWER,
  worker: PbRole.WORKER,
  editor: PbRole.EDITOR,
  admin: PbRole.ADMIN,
  platform_admin: PbRole.PLATFORM_ADMIN,
};

/** Converts a role for the wire. */
export function toPbRole(role: Role): PbRole {
  return pbRoles[role];
}

/** Converts a role from the wire. It was validated. */
export function fromPbRole(pb: PbRole): Role {
  return (Object.keys(pbRoles) as Role[]).find((role) => pbRoles[role] === pb)!;
}

/** Converts a kind from the wire. It was validated. */
export function fromPbKind(pb: PbKind): KeyKind {
  return (Object.keys(pbKinds) as KeyKind[]).find((kind) => pbKinds[kind] === pb)!;
}

/** Converts a key for the wire. */
export function toApiKeyMessage(key: ApiKey): ApiKeyMessage {
  return create(ApiKeySchema, {
    id: key.id,
    name: key.name,
    kind: pbKinds[key.kind],
    role: pbRoles[key.role],
    secretPrefix: key.secretPrefix,
    createTime: timestampFromDate(key.createTime),
    ...(key.expireTime && { expireTime: timestampFromDate(key.expireTime) }),
    ...(key.revokeTime && { revokeTime: timestampFromDate(key.revokeTime) }),
    ...(key.lastUseTime && { lastUseTime: timestampFromDate(key.lastUseTime) }),
  });
}
