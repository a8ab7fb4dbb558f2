import { PgBoss } from "pg-boss";
import { createDatabase, type DatabaseUrls } from "../harness/database.ts";
import { input } from "../scene/payload.ts";

const queue = "bench";

/** How many jobs are stored at once before they are fetched. */
const fillSize = 5000;

/** pg-boss in this process, with a database of its own on the server of a service. */
export interface Boss extends AsyncDisposable {
  /** Stores jobs one by one. Returns how many. */
  send(): Promise<number>;
  /** Stores jobs with one call. Returns how many. */
  insert(count: number): Promise<number>;
  /** Fetches jobs and completes them. Returns how many. */
  work(batchSize: number): Promise<number>;
  /** Sees to it that there are jobs to fetch. */
  fill(jobs: number): Promise<void>;
}

/** What pg-boss was told, for the results. */
export const aboutBoss =
  "pg-boss 12.38.0, in the process that measures; its pool has the default of 10 connections, its queue a table of " +
  "its own (`partition`), and its maintenance and schedules are off.";

export async function startBoss(database: DatabaseUrls): Promise<Boss> {
  const connectionString = await createDatabase(database, "bench_pg_boss");
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
  // What fails, fails in the call that it belongs to.
  boss.on("error", () => {});
  await boss.start();
  await boss.createQueue(queue, { partition: true });
  const jobs = (count: number) => Array.from({ length: count }, () => ({ data: input }));
  let queued = 0;
  return {
    async send() {
      await boss.send(queue, input);
      queued++;
      return 1;
    },
    async insert(count) {
      await boss.insert(queue, jobs(count));
      queued += count;
      return count;
    },
    async work(batchSize) {
      const fetched = await boss.fetch(queue, { batchSize });
      if (fetched.length === 0) throw new Error("pg-boss has no more jobs to fetch");
      await boss.complete(
        queue,
        fetched.map(({ id }) => id),
      );
      queued -= fetched.length;
      return fetched.length;
    },
    async fill(count) {
      while (queued < count) {
        await boss.insert(queue, jobs(fillSize));
        queued += fillSize;
      }
    },
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false }),
  };
}
