import type { EntityManager } from "@mikro-orm/postgresql";
import { LedgerError } from "../errors.ts";
import type { PageScope } from "../page-token/seal.ts";
import type { SealedPlaces } from "../page-token/sealed-places.ts";
import { fromText, type Places, toText } from "./places.ts";

/** How far a watch has come. */
export interface WatchPlace {
  /** How far in the feed. */
  readonly places: Places;
  /** The id of the last one of the snapshot that was told, "" before the first. Undefined if the snapshot is complete. */
  readonly after: string | undefined;
}

/** Returns the resume token of a place in a watch. */
export function writeResumeToken(
  sealed: SealedPlaces,
  em: EntityManager,
  scope: PageScope,
  { places, after }: WatchPlace,
): Promise<string> {
  return sealed.seal(em, scope, after === undefined ? toText(places) : `${toText(places)}/${after}`);
}

/**
 * Returns the place of a resume token, and when it was made, in seconds since 1970.
 *
 * @throws LedgerError RESUME_TOKEN_INVALID if it was not made for this watch, filter and organization
 */
export async function readResumeToken(
  sealed: SealedPlaces,
  em: EntityManager,
  scope: PageScope,
  token: string,
): Promise<WatchPlace & { readonly issued: number }> {
  const place = await sealed.open(em, scope, token);
  if (place === undefined) {
    throw resumeTokenInvalid();
  }
  const [places, after] = place.position.split("/");
  return { places: fromText(places!), after, issued: place.issued };
}

/** Returns the error for a token that cannot be of this watch; why is not said. */
export function resumeTokenInvalid(): LedgerError {
  const description = "not a token of this watch and filter; start again without it";
  return new LedgerError("RESUME_TOKEN_INVALID", `resume_token: ${description}`, {
    violations: [{ field: "resume_token", description }],
  });
}
