import { type ContextValues, createContextKey } from "@connectrpc/connect";
import { LedgerError } from "../errors.ts";

/**
 * What a credential may do, from the least to the most, but for `worker`, which stands apart.
 *
 * `platform_admin` is an administrator of its own organization who may also create organizations.
 */
export const roles = ["viewer", "worker", "editor", "admin", "platform_admin"] as const;
export type Role = (typeof roles)[number];

/** Who holds a credential: a worker's, an integration's or a service account's key, or a person's JWT; or the service itself. */
export const callerKinds = ["worker", "integration", "service-account", "user", "system"] as const;
export type CallerKind = (typeof callerKinds)[number];

/** The kinds of API keys. */
export type KeyKind = Exclude<CallerKind, "user" | "system">;

/** Who sends a request. */
export interface Caller {
  /** The organization of the credential, a UUID. Every row the call sees or writes is of this organization. */
  readonly organizationId: string;
  /** The id of the API key, or the subject of the JWT. */
  readonly subject: string;
  readonly kind: CallerKind;
  readonly role: Role;
  /** The name of the API key. Empty for a JWT. */
  readonly keyName: string;
}

/** The authenticated caller. Set by the authentication interceptor. */
export const callerKey = createContextKey<Caller | undefined>(undefined, { description: "caller" });

/** Returns the caller of a call. */
export function callerOf(context: { readonly values: ContextValues }): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) {
    throw new LedgerError(
      "CREDENTIAL_MISSING",
      "no credential: send Authorization: Bearer <key or JWT>, or X-API-Key",
    );
  }
  return caller;
}
