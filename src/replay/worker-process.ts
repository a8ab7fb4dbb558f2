import { setTimeout as sleep } from "node:timers/promises";
import { findAddress } from "../client/ledger.ts";
import { connect } from "../worker/connect.ts";
import { Worker } from "../worker/worker.ts";
import { type Figures, noFigures } from "./fleet.ts";
import { type ReplayedTask, replayExecutor } from "./replayed-task.ts";

// A worker of a replay, in a process of its own: it takes as long for each task as the recording says, scaled.

/** How often it tells what it has done. */
const tellMs = 100;

const figures: { -readonly [Name in keyof Figures]: Figures[Name] } = { ...noFigures };
const tell = () => {
  if (process.connected) process.send?.(figures);
};

const { url, key } = findAddress();
const worker = new Worker({
  transport: connect(url, key),
  concurrency: Number(process.argv[2]),
  executors: {
    async [replayExecutor]({ input, signal }) {
      const { seconds, scale } = input as unknown as ReplayedTask;
      const ms = seconds * scale * 1000;
      if (ms > 0) await sleep(ms, undefined, { signal });
      return { seconds };
    },
  },
  onEvent(event) {
    switch (event.type) {
      case "claimed":
        figures.claims++;
        figures.tasks += event.tasks.length;
        break;
      case "reported":
        if (event.end === "completed") figures.completed++;
        break;
      case "refused":
        figures.refused++;
        break;
      case "lost":
        figures.lost++;
        break;
      case "trouble":
        figures.troubles++;
    }
  },
});

tell();
const telling = setInterval(tell, tellMs);
const stop = () => void worker.stop(1000);
// Without the one who started it nobody waits for it.
process.once("SIGTERM", stop).once("SIGINT", stop).once("disconnect", stop);
await worker.closed.catch((error: Error) => {
  process.stderr.write(`worker ${process.pid}: ${error.message}\n`);
  process.exitCode = 1;
});
clearInterval(telling);
tell();
process.disconnect?.();
