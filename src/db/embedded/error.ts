/**
 * Why the embedded PostgreSQL cannot be had. The message is for the operator: it says what is wrong and
 * what to do, and needs no stack trace beside it.
 */
export class EmbeddedPostgresError extends Error {
  override readonly name = "EmbeddedPostgresError";
}
