import { type ResourceLimits, Worker } from "node:worker_threads";
import { LedgerError } from "../errors.ts";

/** What a {@link CheckThread} is made of. Times in milliseconds. */
export interface CheckThreadOptions<Answer> {
  /** The module that the thread runs: it posts {@link ready} when it is loaded, then one answer for each message. */
  readonly program: URL;
  /** How long one check may take. */
  readonly mostMs: number;
  /** What the thread may hold. */
  readonly memory: ResourceLimits;
  /** The answer to a question that takes longer, or more memory. */
  readonly tooCostly: Answer;
}

/** What a thread says first. */
export const ready = "ready";

/** How many checks of one organization may wait. */
const mostWaiting = 50;

/** How long a check may wait for its turn. */
const mostWaitMs = 15_000;

/** How long the thread is kept when nothing is asked. */
const idleMs = 10_000;

/** How long a thread may take to start on a busy machine. */
const startMs = 5000;

interface Waiting<Question, Answer> {
  readonly question: Question;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly expiry: NodeJS.Timeout;
}

/**
 * Checks what tenants write in a thread of its own, one after the other, and ends the thread when it takes too
 * long: nothing that a tenant writes may hold up the service. Organizations take turns, so that one with many
 * costly texts holds up another by one of them at most.
 */
export class CheckThread<Question, Answer> {
  readonly #options: CheckThreadOptions<Answer>;
  /** By organization, none of them empty, in the order of their turns. */
  readonly #waiting = new Map<string, Waiting<Question, Answer>[]>();
  #worker: Worker | undefined;
  #isReady = false;
  #current: Waiting<Question, Answer> | undefined;
  #lastOrganizationId = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(options: CheckThreadOptions<Answer>) {
    this.#options = options;
  }

  /**
   * Returns the thread's answer.
   *
   * @throws LedgerError TOO_MANY_REQUESTS if the organization has too many checks waiting, or its turn does not come
   */
  ask(organizationId: string, question: Question): Promise<Answer> {
    const line = this.#waiting.get(organizationId) ?? [];
    if (line.length >= mostWaiting) {
      throw tooMany(`${mostWaiting} checks of flows and inputs wait`);
    }
    return new Promise((resolve, reject) => {
      const expiry = setTimeout(() => {
        line.splice(line.indexOf(waiting), 1);
        if (line.length === 0) this.#waiting.delete(organizationId);
        reject(tooMany(`checks of flows and inputs wait for longer than ${mostWaitMs} ms`));
      }, mostWaitMs);
      const waiting = { question, resolve, reject, expiry };
      line.push(waiting);
      this.#waiting.set(organizationId, line);
      this.#next();
    });
  }

  #next(): void {
    if (this.#current !== undefined) {
      return;
    }
    clearTimeout(this.#timer);
    this.#current = this.#takeTurn();
    if (this.#current === undefined) {
      this.#timer = setTimeout(() => this.#end(), idleMs).unref();
      return;
    }
    clearTimeout(this.#current.expiry);
    if (this.#worker !== undefined && this.#isReady) {
      this.#putQuestion(this.#worker, this.#current);
    } else {
      this.#worker ??= this.#start();
      this.#timer = setTimeout(() => this.#giveUp(), startMs);
    }
  }

  #putQuestion(worker: Worker, { question }: Waiting<Question, Answer>): void {
    worker.postMessage(question);
    this.#timer = setTimeout(() => this.#giveUp(), this.#options.mostMs);
  }

  /** Takes what waits longest of an organization that was not the last one, if there is another. */
  #takeTurn(): Waiting<Question, Answer> | undefined {
    const organizationIds = [...this.#waiting.keys()];
    const chosen = organizationIds.find((id) => id !== this.#lastOrganizationId) ?? organizationIds[0];
    if (chosen === undefined) {
      return undefined;
    }
    this.#lastOrganizationId = chosen;
    const line = this.#waiting.get(chosen)!;
    this.#waiting.delete(chosen);
    const next = line.shift();
    if (line.length > 0) this.#waiting.set(chosen, line);
    return next;
  }

  #start(): Worker {
    this.#isReady = false;
    const worker = new Worker(this.#options.program, { resourceLimits: this.#options.memory, execArgv: [] });
    worker.unref();
    // A thread that was ended may still say something, which would answer another's question.
    worker.on("message", (message: typeof ready | Answer) => {
      if (this.#worker !== worker) {
        return;
      }
      clearTimeout(this.#timer);
      if (this.#isReady) {
        this.#answer(message as Answer);
      } else {
        this.#isReady = true;
        this.#putQuestion(worker, this.#current!);
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
    this.#answer(this.#options.tooCostly);
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

function tooMany(what: string): LedgerError {
  return new LedgerError("TOO_MANY_REQUESTS", `${what}; repeat the request`, { retryAfterMs: 1000 });
}
