import type { MikroORM } from "@mikro-orm/postgresql";
import type { Logger } from "pino";

/** After how many written rows the first look is taken. Until then any plan will do. */
const firstRows = 200;

/** How many times more rows are written before the next look. Autovacuum comes by in between. */
const growth = 5;

/**
 * Has the planner's statistics made anew when much was written, as far as they are out of date.
 *
 * Autovacuum looks once a minute. A ledger that takes thousands of records a second is another one by then, and
 * connections keep the plans that were made when it was empty.
 */
export class Statistics {
  readonly #orm: MikroORM;
  readonly #log: Logger;
  #rows = 0;
  #next = firstRows;
  #running: Promise<void> | undefined;

  constructor(orm: MikroORM, log: Logger) {
    this.#orm = orm;
    this.#log = log;
  }

  /** Says that rows were written. */
  grew(rows: number): void {
    this.#rows += rows;
    if (this.#rows < this.#next || this.#running !== undefined) return;
    while (this.#next <= this.#rows) this.#next *= growth;
    this.#running = this.#refresh().finally(() => {
      this.#running = undefined;
    });
  }

  async #refresh(): Promise<void> {
    try {
      await this.#orm.em.fork().execute("select refresh_statistics()");
    } catch (error) {
      this.#log.warn({ err: (error as Error).message }, "could not make the planner's statistics anew");
    }
  }
}
