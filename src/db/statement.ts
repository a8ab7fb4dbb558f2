import { type RawBuilder, sql } from "kysely";

/** How a statement is sent. */
export interface StatementKind {
  /** The name under which a connection keeps it, so that it is parsed and planned once. */
  readonly name?: string;
  /** Whether nobody reads its result, so that what comes next is sent without waiting for it. */
  readonly isUnread: boolean;
}

/** What MikroORM sets at the begin of a transaction: the organization, and how long statements may run. */
const settings = /^select set_config\('[^']*', '[^']*', true\)(, set_config\('[^']*', '[^']*', true\))*$/;

const marker = /^\/\* (kept|unread) (\w+) \*\//;

/**
 * Begins a statement that connections keep by its name: planning takes longer than running it for a few rows. The
 * text must be the same each time.
 */
export function kept(name: string): RawBuilder<unknown> {
  return sql.raw(`/* kept ${name} */`);
}

/**
 * Begins a statement that is {@link kept}, and whose result nobody reads: it counts as done when it is sent. If it
 * fails, the next statement that is waited for throws its error, at the latest the commit.
 */
export function unread(name: string): RawBuilder<unknown> {
  return sql.raw(`/* unread ${name} */`);
}

/** Returns how a statement is to be sent. What begins a transaction is unread as well. */
export function kindOf(text: string): StatementKind {
  const [, kind, name] = marker.exec(text) ?? [];
  if (name !== undefined) return { name, isUnread: kind === "unread" };
  return { isUnread: text === "begin" || settings.test(text) };
}
