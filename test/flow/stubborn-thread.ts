import { parentPort } from "node:worker_threads";
import { ready } from "../../src/flow/check-thread.ts";

// A thread for test/flow/check-thread.test.ts, which does what it is asked.

parentPort?.on("message", (question: string) => {
  if (question === "never answer") {
    for (;;);
  }
  if (question === "take all memory") {
    for (const all: string[] = []; ; ) all.push(`${Math.random()}`.repeat(1000));
  }
  parentPort!.postMessage(`answer to ${question}`);
});
parentPort?.postMessage(ready);
