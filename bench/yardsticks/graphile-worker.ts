import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Logger, makeWorkerUtils, run, type WorkerUtils } from "graphile-worker";
import { createDatabase, type DatabaseUrls } from "../harness/database.ts";
import { input } from "../scene/payload.ts";

const task = "bench";

/** How many jobs are stored at once before they are run. */
const fillSize = 5000;

// It says each success in its log otherwise; its own performance test sets this too.
process.env["NO_LOG_SUCCESS"] = "1";

const logger = new Logger(() => () => {});

/** graphile-worker in this process, with a database of its own on the server of a service. */
export interface Graphile extends AsyncDisposable {
  /** Stores one job. Returns how many that are. */
  addJob(): Promise<number>;
  /** Runs jobs that do nothing for some seconds. Returns how many it has run in a second. */
  runJobs(seconds: number, concurrency: number): Promise<number>;
  /** Sees to it that there are jobs to run. */
  fill(jobs: number): Promise<void>;
}

/** What graphile-worker was told, for the results. */
export const aboutGraphile =
  "graphile-worker 0.18.0, in the process that measures, set as its page on performance says: a local queue of 500, " +
  "completions and failures in batches (delay 0), one connection more than jobs at once, successes not logged.";

/** How its page on performance sets it, but for how much it does at once. */
function preset(connectionString: string, concurrentJobs: number) {
  return {
    worker: {
      connectionString,
      concurrentJobs,
      maxPoolSize: concurrentJobs + 1,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  };
}

/** @param concurrency how many jobs it stores at once at most */
export async function startGraphile(database: DatabaseUrls, concurrency: number): Promise<Graphile> {
  const connectionString = await createDatabase(database, "bench_graphile_worker");
  const utils: WorkerUtils = await makeWorkerUtils({ preset: preset(connectionString, concurrency), logger });
  await utils.migrate();
  const jobs = Array.from({ length: fillSize }, () => ({ identifier: task, payload: input }));
  let queued = 0;
  return {
    async addJob() {
      await utils.addJob(task, input);
      return 1;
    },
    async runJobs(seconds, concurrentJobs) {
      let begin: number | undefined;
      let done = 0;
      const runner = await run({
        preset: preset(connectionString, concurrentJobs),
        logger,
        noHandleSignals: true,
        parsedCronItems: [],
        events: new EventEmitter(),
        taskList: {
          [task]: () => {
            begin ??= performance.now();
            done++;
          },
        },
      });
      while (begin === undefined) await sleep(5);
      const before = done;
      const from = performance.now();
      await sleep(seconds * 1000);
      const rate = ((done - before) / (performance.now() - from)) * 1000;
      await runner.stop();
      queued -= done;
      if (queued <= 0) throw new Error("graphile-worker has no more jobs to run");
      return rate;
    },
    async fill(count) {
      // It takes a moment to start and to stop, and is fast meanwhile.
      while (queued < count * 4) {
        await utils.addJobs(jobs);
        queued += fillSize;
      }
    },
    [Symbol.asyncDispose]: async () => utils.release(),
  };
}
