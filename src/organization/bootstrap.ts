import { randomBytes } from "node:crypto";
import type { MikroORM } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { createSecret, hashSecret, prefixOf } from "../auth/api-key.ts";
import { forOrganization } from "../db/organization.ts";
import { violatedConstraint } from "../db/sql-state.ts";
import { inTransaction, LostRace } from "../db/transaction.ts";

/** The id of the organization `default`. It is fixed: nobody can look for an organization without knowing its id. */
export const defaultOrganizationId = "00000000-0000-7000-8000-000000000001";

/**
 * Makes the organization `default` with the key of an administrator of the platform, if it is not there.
 *
 * A key that is given is added whenever the organization does not have it, so that a new one can be had by a
 * restart; one that was revoked stays revoked. Several servers may do this at once.
 *
 * @returns the secret of the key if one was made up now; it is not kept
 */
export async function bootstrap(deps: {
  readonly orm: MikroORM;
  readonly now: () => Date;
  readonly newId: () => string;
  readonly bootstrapKey?: string | undefined;
}): Promise<{ secret?: string }> {
  const { orm, now, newId, bootstrapKey } = deps;
  const made = createSecret();
  const isNew = await inTransaction(forOrganization(orm, defaultOrganizationId), async (em) => {
    const time = now().toISOString();
    const kysely = em.getKysely();
    const { rows } = await sql`
      insert into organization (id, name, page_token_key, create_time)
      values (${defaultOrganizationId}, 'default', ${randomBytes(32)}, ${time})
      on conflict (id) do nothing
      returning id
    `
      .execute(kysely)
      .catch((error) => {
        // Another server made it in the same moment: only the conflict of the ids is forgiven, not that of the names.
        throw violatedConstraint(error) === "organization_name_key" ? new LostRace() : error;
      });
    if (rows.length > 0 || bootstrapKey !== undefined) {
      const secret = bootstrapKey ?? made;
      const hash = hashSecret(secret);
      // The name of the request follows from the secret, so that one key is added once.
      await sql`
        insert into api_key (organization_id, id, name, kind, role, secret_prefix, secret_hash, request_id, create_time)
        values (
          ${defaultOrganizationId}, ${newId()}, 'bootstrap', 'service-account', 'platform_admin',
          ${bootstrapKey === undefined ? prefixOf(secret) : ""}, ${hash},
          ${`bootstrap-${hash.toString("hex")}`}, ${time}
        )
        on conflict (organization_id, request_id) do nothing
      `.execute(kysely);
    }
    return rows.length > 0;
  });
  return isNew && bootstrapKey === undefined ? { secret: made } : {};
}
