/** What a JWT says of itself. Not verified: the service does that. */
export interface Claims {
  readonly sub?: string;
  readonly exp?: number;
}

/** Returns what a credential says of itself, undefined if it is no JWT. */
export function readClaims(credential: string): Claims | undefined {
  const parts = credential.split(".");
  if (parts.length !== 3) {
    return undefined;
  }
  try {
    const text = atob(parts[1]!.replaceAll("-", "+").replaceAll("_", "/"));
    const claims: unknown = JSON.parse(
      new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))),
    );
    return typeof claims === "object" && claims !== null ? claims : undefined;
  } catch {
    return undefined;
  }
}
