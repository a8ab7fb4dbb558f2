import type { EntityManager } from "@mikro-orm/postgresql";
import { LRUCache } from "lru-cache";
import { organizationFilter } from "../db/organization.ts";
import { Organization } from "../organization/organization.entity.ts";
import { openPlace, type PagePlace, type PageScope, sealPlace } from "./seal.ts";

/** How many organizations' keys are kept: 32 bytes each. */
const mostKeys = 10_000;

/** Places in a form that only we can make, for one organization each. */
export interface SealedPlaces {
  /** Returns what a token says, or undefined if it was not made for this scope and organization. */
  open(em: EntityManager, scope: PageScope, token: string): Promise<PagePlace | undefined>;
  /** Returns the token for a position, made now. */
  seal(em: EntityManager, scope: PageScope, position: string): Promise<string>;
}

/**
 * Creates the seal of places: the key of the organization, which is read once and never changes.
 *
 * Any server of the installation takes what another has sealed, also after a restart.
 */
export function createSealedPlaces({ now }: { readonly now: () => Date }): SealedPlaces {
  const keys = new LRUCache<string, Promise<Uint8Array | undefined>>({ max: mostKeys });

  async function load(em: EntityManager, id: string): Promise<Uint8Array | undefined> {
    const organization = await em.findOne(Organization, { id }, { populate: ["pageTokenKey"] });
    // One that is not there yet may come, with a key that stays.
    if (organization === null) keys.delete(id);
    return organization?.pageTokenKey;
  }

  function keyOf(em: EntityManager): Promise<Uint8Array | undefined> {
    const id: string = em.getFilterParams(organizationFilter.name)["organizationId"];
    let key = keys.get(id);
    if (key === undefined) {
      key = load(em, id);
      keys.set(id, key);
      // An outage is not an answer: the next call asks again.
      key.catch(() => keys.delete(id));
    }
    return key;
  }

  return {
    async open(em, scope, token) {
      const key = await keyOf(em);
      return key && openPlace(key, scope, token);
    },

    async seal(em, scope, position) {
      const key = await keyOf(em);
      if (key === undefined) {
        throw new Error("an organization without a row has a list with rows");
      }
      return sealPlace(key, scope, { position, issued: Math.floor(now().getTime() / 1000) });
    },
  };
}
