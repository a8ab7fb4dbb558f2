import type { EventSubscriber, FilterDef, FlushEventArgs } from "@mikro-orm/core";
import type { EntityManager, MikroORM } from "@mikro-orm/postgresql";

/**
 * Limits every read to one organization, and sets it for row-level security in each transaction.
 *
 * It is on by default and its argument has no default, so an EntityManager that was never given an
 * organization throws instead of reading all of them.
 */
export const organizationFilter = {
  name: "organization",
  cond: ({ organizationId }: { organizationId: string }) => ({ organizationId }),
  default: true,
  strict: true,
  rls: { setting: "app.organization_id" },
} as const satisfies FilterDef;

/** Like {@link organizationFilter}, for the table of organizations itself. */
export const organizationItselfFilter = {
  ...organizationFilter,
  cond: ({ organizationId }: { organizationId: string }) => ({ id: organizationId }),
} as const satisfies FilterDef;

/**
 * Returns a new EntityManager that sees one organization only.
 *
 * @param statementTimeoutMs how long one of its statements may run; what the caller waits for, so that
 * work nobody waits for any more ends in the database too
 */
export function forOrganization(
  orm: MikroORM,
  organizationId: string,
  statementTimeoutMs?: number,
): EntityManager {
  const em = orm.em.fork();
  if (statementTimeoutMs !== undefined) {
    em.setSessionContext({ variables: { statement_timeout: Math.max(1, Math.ceil(statementTimeoutMs)) } });
  }
  em.setFilterParams(organizationFilter.name, { organizationId });
  return em;
}

/**
 * Refuses to flush a row of any other organization.
 *
 * The filter limits what is read. It does not look at what is written.
 */
export class OrganizationGuard implements EventSubscriber {
  onFlush({ em, uow }: FlushEventArgs): void {
    const ours = em.getFilterParams(organizationFilter.name)?.["organizationId"];
    for (const { entity, meta } of uow.getChangeSets()) {
      const theirs = meta.className === "Organization" ? entity["id"] : entity["organizationId"];
      if (ours === undefined || theirs !== ours) {
        throw new Error(`refusing to write a ${meta.className} outside of organization ${String(ours)}`);
      }
    }
  }
}
