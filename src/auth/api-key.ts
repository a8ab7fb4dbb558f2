import { createHash, hash, randomBytes } from "node:crypto";
import type { MikroORM } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { ApiKey } from "../api-key/api-key.entity.ts";
import { forOrganization } from "../db/organization.ts";
import type { Authenticate } from "./authentication-interceptor.ts";
import type { Caller, CallerKind, Role } from "./caller.ts";

/** How long a look-up is believed: with it a revoked key stops well within the promised 5 seconds. */
const cacheMs = 2000;

/** How many look-ups are believed at a time, also of keys that do not exist. */
const cacheSize = 10_000;

/** How coarse the time of the last use is, so that reading does not mean writing. */
const lastUseMs = 10 * 60 * 1000;

/** Makes a secret: 256 random bits, recognizable by scanners of leaked credentials. */
export function createSecret(): string {
  return `tlk_${randomBytes(32).toString("base64url")}`;
}

/** Returns what is stored of a secret. It holds 256 random bits, so that a plain hash cannot be guessed back. */
export function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** Returns the beginning of a secret that is stored to tell keys apart. */
export function prefixOf(secret: string): string {
  return secret.slice(0, 8);
}

interface Found {
  readonly caller: Caller;
  lastUse: number;
}

/** Returns the look-up of API keys by their secrets. */
export function createApiKeyAuthentication(deps: {
  readonly orm: MikroORM;
  readonly now: () => Date;
  readonly log: Pick<Logger, "warn">;
}): Authenticate {
  const { orm, now, log } = deps;
  const cache = new LRUCache<string, Promise<Found | undefined>>({ max: cacheSize, ttl: cacheMs });

  async function find(secret: string): Promise<Found | undefined> {
    // The organization is not known yet, so this runs outside of every one: only the function can answer it.
    const { rows } = await sql<Row>`select * from find_api_key(${hashSecret(secret)})`.execute(
      orm.em.fork().getKysely(),
    );
    const [row] = rows;
    return (
      row && {
        caller: {
          organizationId: row.organization_id,
          subject: row.id,
          kind: row.kind,
          role: row.role,
          keyName: row.name,
        },
        lastUse: row.last_use_time === null ? 0 : new Date(row.last_use_time).getTime(),
      }
    );
  }

  function noteUse({ caller, lastUse }: Found): void {
    const time = now();
    if (time.getTime() - lastUse < lastUseMs) {
      return;
    }
    forOrganization(orm, caller.organizationId)
      .nativeUpdate(ApiKey, { id: caller.subject }, { lastUseTime: time })
      .catch((err) => log.warn({ err }, "could not note the use of an API key"));
  }

  return async (secret) => {
    // Not by the secret itself, which has no business in memory for longer than a call.
    const cacheKey = hash("sha256", secret, "base64");
    let looked = cache.get(cacheKey);
    if (looked === undefined) {
      looked = find(secret);
      cache.set(cacheKey, looked);
      // An outage is not an answer: the next call asks again.
      looked.catch(() => cache.delete(cacheKey));
      const found = await looked;
      if (found !== undefined) {
        noteUse(found);
        found.lastUse = Math.max(found.lastUse, now().getTime());
      }
    }
    return (await looked)?.caller;
  };
}

interface Row {
  readonly organization_id: string;
  readonly id: string;
  readonly name: string;
  readonly kind: CallerKind;
  readonly role: Role;
  readonly last_use_time: string | Date | null;
}
