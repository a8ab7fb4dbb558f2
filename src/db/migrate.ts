import { migrate } from "./migrations.ts";

// `npm run migrate`: brings the schema of any PostgreSQL to the newest version.
const { MIGRATION_DATABASE_URL: ownerUrl, DATABASE_URL: serviceUrl } = process.env;
if (!ownerUrl || !serviceUrl) {
  process.stderr.write("set MIGRATION_DATABASE_URL (the owner) and DATABASE_URL (the service's role)\n");
  process.exit(2);
}
const applied = await migrate(ownerUrl, decodeURIComponent(new URL(serviceUrl).username));
process.stdout.write(applied.length === 0 ? "the schema is up to date\n" : `applied ${applied.join(", ")}\n`);
