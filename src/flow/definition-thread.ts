import { parentPort } from "node:worker_threads";
import { ready } from "./check-thread.ts";
import { parseDefinition } from "./definition.ts";

// Runs in a thread of its own: a text of a megabyte can keep the YAML parser busy for seconds.

parentPort?.on("message", (text: string) => parentPort!.postMessage(parseDefinition(text)));
parentPort?.postMessage(ready);
