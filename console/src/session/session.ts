import { useSyncExternalStore } from "react";

/** Who is signed in: a credential, and how many there were before it in this tab. */
export interface Session {
  /** An API key or a JWT. Kept in this tab only, and gone when it closes. */
  readonly credential: string;
  /** Grows with every change of the credential. What was made under another number is thrown away. */
  readonly number: number;
}

const storageKey = "taskledger.credential";

let session: Session | undefined;
let ended = "";
let count = 0;
const listeners = new Set<() => void>();

const stored = sessionStorage.getItem(storageKey);
if (stored !== null) {
  session = { credential: stored, number: ++count };
}

function change(next: Session | undefined, why: string): void {
  session = next;
  ended = why;
  for (const listener of listeners) {
    listener();
  }
}

/** Begins a session; one that was there ends, with all that was shown. */
export function signIn(credential: string): void {
  sessionStorage.setItem(storageKey, credential);
  change({ credential, number: ++count }, "");
}

/** Ends the session, because the person asked for it. */
export function signOut(): void {
  sessionStorage.removeItem(storageKey);
  change(undefined, "");
}

/** Ends a session whose credential was refused, unless another one has begun meanwhile. */
export function refuseSession({ number }: Session): void {
  if (session?.number === number) {
    sessionStorage.removeItem(storageKey);
    change(undefined, "The key or token is not valid, or no longer. Sign in again.");
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns the session, undefined if nobody is signed in. */
export function useSession(): Session | undefined {
  return useSyncExternalStore(subscribe, () => session);
}

/** Returns why the last session ended; empty if the person ended it. */
export function useEndOfSession(): string {
  return useSyncExternalStore(subscribe, () => ended);
}
