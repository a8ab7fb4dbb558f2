import { Worker } from "node:worker_threads";
import { LedgerError } from "../errors.ts";
import type { Json } from "../template/json.ts";
import type { Answer, InputFault, Question } from "./input-schema-thread.ts";

/** How long one check may take: ordinary ones take a millisecond. */
const mostMs = 1000;

/** How long a thread may take to start on a busy machine. */
const startMs = 5000;

/** How long the thread is kept when nothing is asked. */
const idleMs = 10_000;

/** How many checks of one organization may wait for the thread. */
const mostWaiting = 50;

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
export async function checkSchema(organizationId: string, schema: Json): Promise<string | undefined> {
  const answer = await checks.ask(organizationId, { schema: JSON.stringify(schema) });
  return "schemaFault" in answer ? answer.schemaFault : undefined;
}

/**
 * Returns what is wrong with an input, nothing if it matches.
 *
 * @param schemaText the JSON of a schema
 * @param input undefined if there is none, which matches no schema
 */
export async function checkInput(
  organizationId: string,
  schemaText: string,
  input: Json | undefined,
): Promise<readonly InputFault[]> {
  const text = input === undefined ? null : JSON.stringify(input);
  const answer = await checks.ask(organizationId, { schema: schemaText, input: text });
  return "faults" in answer
    ? answer.faults
    : [{ path: "input", message: `cannot be checked: the flow's input_schema ${answer.schemaFault}` }];
}

/**
 * Asks a thread, one question after the other, and ends it when it takes too long: nothing that a tenant writes
 * may hold up the service. Organizations take turns, so that none waits for all that another one asks.
 */
class Checks {
  /** What waits, by organization: who came first comes first. */
  readonly #waiting = new Map<string, Waiting[]>();
  #worker: Worker | undefined;
  #isReady = false;
  #current: Waiting | undefined;
  #lastOrganizationId = "";
  #timer: NodeJS.Timeout | undefined;

  ask(organizationId: string, question: Question): Promise<Answer> {
    const waiting = this.#waiting.get(organizationId) ?? [];
    if (waiting.length >= mostWaiting) {
      throw new LedgerError("TOO_MANY_REQUESTS", `${mostWaiting} checks of inputs wait; repeat the request`, {
        retryAfterMs: 1000,
      });
    }
    return new Promise((resolve) => {
      waiting.push({ question, resolve });
      this.#waiting.set(organizationId, waiting);
      this.#next();
    });
  }

  #next(): void {
    if (this.#current !== undefined) {
      return;
    }
    clearTimeout(this.#timer);
    this.#current = this.#take();
    if (this.#current === undefined) {
      this.#timer = setTimeout(() => this.#end(), idleMs).unref();
    } else if (this.#isReady) {
      this.#post();
    } else {
      this.#worker ??= this.#start();
      this.#timer = setTimeout(() => this.#giveUp(), startMs);
    }
  }

  /** Takes what waits longest of an organization that was not the last one, if there is another. */
  #take(): Waiting | undefined {
    const organizationIds = [...this.#waiting.keys()];
    const chosen = organizationIds.find((id) => id !== this.#lastOrganizationId) ?? organizationIds[0];
    if (chosen === undefined) {
      return undefined;
    }
    this.#lastOrganizationId = chosen;
    const [next, ...rest] = this.#waiting.get(chosen)!;
    this.#waiting.delete(chosen);
    if (rest.length > 0) this.#waiting.set(chosen, rest);
    return next;
  }

  #post(): void {
    clearTimeout(this.#timer);
    this.#worker?.postMessage(this.#current?.question);
    this.#timer = setTimeout(() => this.#giveUp(), mostMs);
  }

  #start(): Worker {
    const worker = new Worker(new URL("./input-schema-thread.ts", import.meta.url), {
      resourceLimits: threadMemory,
      execArgv: [],
    });
    worker.unref();
    worker.on("message", (message: Answer | "ready") => {
      if (this.#worker !== worker) return;
      if (message !== "ready") {
        this.#answer(message);
      } else {
        this.#isReady = true;
        this.#post();
      }
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
    this.#isReady = false;
    worker?.terminate().catch(() => {});
  }
}

const checks = new Checks();
