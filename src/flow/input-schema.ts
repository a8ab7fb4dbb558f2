import { Worker } from "node:worker_threads";
import { LedgerError } from "../errors.ts";
import type { Json } from "../template/json.ts";
import type { Answer, InputFault, Question } from "./input-schema-thread.ts";

/** How long one check may take: ordinary ones take a millisecond. */
const mostMs = 1000;

/** How long the thread is kept when nothing is asked. */
const idleMs = 10_000;

/** How many checks may wait for the thread. */
const mostWaiting = 200;

/** What a thread may hold, in MB. */
const threadMemory = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16, stackSizeMb: 2 };

interface Waiting {
  readonly question: Question;
  readonly resolve: (answer: Answer) => void;
}

const tooCostly: Answer = {
  schemaFault: `is too costly to check: it takes longer than ${mostMs} ms, or too much memory`,
};

/** Says what is wrong with a JSON Schema (2020-12), or undefined. References to other documents are not followed. */
export async function checkSchema(schema: Json): Promise<string | undefined> {
  const answer = await checks.ask({ schema: JSON.stringify(schema) });
  return "schemaFault" in answer ? answer.schemaFault : undefined;
}

/**
 * Returns what is wrong with an input, nothing if it matches.
 *
 * @param schemaText the JSON of a schema
 * @param input undefined if there is none, which matches no schema
 */
export async function checkInput(
  schemaText: string,
  input: Json | undefined,
): Promise<readonly InputFault[]> {
  const text = input === undefined ? null : JSON.stringify(input);
  const answer = await checks.ask({ schema: schemaText, input: text });
  return "faults" in answer
    ? answer.faults
    : [{ path: "input", message: `cannot be checked: the flow's input_schema ${answer.schemaFault}` }];
}

/**
 * Asks a thread, one question after the other, and ends it when it takes too long: nothing that a tenant writes
 * may hold up the service.
 */
class Checks {
  readonly #waiting: Waiting[] = [];
  #worker: Worker | undefined;
  #current: Waiting | undefined;
  #timer: NodeJS.Timeout | undefined;

  ask(question: Question): Promise<Answer> {
    if (this.#waiting.length >= mostWaiting) {
      throw new LedgerError("TOO_MANY_REQUESTS", `${mostWaiting} checks of inputs wait; repeat the request`, {
        retryAfterMs: 1000,
      });
    }
    return new Promise((resolve) => {
      this.#waiting.push({ question, resolve });
      this.#next();
    });
  }

  #next(): void {
    if (this.#current !== undefined) {
      return;
    }
    clearTimeout(this.#timer);
    this.#current = this.#waiting.shift();
    if (this.#current === undefined) {
      this.#timer = setTimeout(() => this.#end(), idleMs).unref();
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.postMessage(this.#current.question);
    this.#timer = setTimeout(() => this.#giveUp(), mostMs + (this.#isStarting ? startMs : 0));
  }

  #isStarting = false;

  #start(): Worker {
    this.#isStarting = true;
    const worker = new Worker(new URL("./input-schema-thread.ts", import.meta.url), {
      resourceLimits: threadMemory,
      execArgv: [],
    });
    worker.unref();
    worker.on("message", (answer: Answer) => {
      this.#isStarting = false;
      this.#answer(answer);
    });
    // Out of memory, or out of stack.
    worker.on("error", () => {
      if (this.#worker === worker) this.#giveUp();
    });
    return worker;
  }

  #giveUp(): void {
    this.#end();
    this.#answer(tooCostly);
  }

  #answer(answer: Answer): void {
    const current = this.#current;
    this.#current = undefined;
    current?.resolve(answer);
    this.#next();
  }

  #end(): void {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.terminate().catch(() => {});
  }
}

/** How long a thread may take to start on a busy machine. */
const startMs = 5000;

const checks = new Checks();
