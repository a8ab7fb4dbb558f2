import { setTimeout as sleep } from "node:timers/promises";
import type { Executor } from "../../src/worker/task.ts";
import { type Task, TaskFailure } from "../../src/worker/task.ts";

/** A flow with a loop, a fork and a join, as one meets them. */
export const reportFlow = `name: daily-report
description: Collects the orders of a day, prices them, and sends the report to whoever asked for it.
input_schema:
  type: object
  required: [day, region]
  properties:
    day: { type: string, format: date, title: Day, description: The day that is reported. }
    region: { enum: [emea, apac, amer], title: Region }
    limit: { type: integer, minimum: 1, title: Orders at most }
    dry_run: { type: boolean, title: Send nothing }
tasks:
  - name: extract
    input: { day: "{{input.day}}", region: "{{input.region}}" }
  - name: exchange-rates
    input: { day: "{{input.day}}" }
  - name: validate
    input: { rows: "{{extract.output.rows}}" }
  - name: enrich
    for_each: "{{extract.output.files}}"
    input: { file: "{{item}}" }
  - name: price
    depends_on: [validate]
    input: { orders: "{{enrich.output}}", rates: "{{exchange-rates.output}}" }
  - name: summarise
    input: { total: "{{price.output.total}}" }
  - name: archive
    depends_on: [price]
  - name: send-report
    depends_on: [archive]
    input: { summary: "{{summarise.output}}" }
`;

/** An input that it takes. */
export const reportInput = { day: "2026-11-24", region: "emea" };

const files = ["orders-00.parquet", "orders-01.parquet", "orders-02.parquet", "orders-03.parquet"];

const outputs: Readonly<Record<string, unknown>> = {
  extract: { rows: 18_240, files, source: { bucket: "orders", region: "emea", checksum: "9f2c51ab" } },
  "exchange-rates": { USD: 1.0871, GBP: 0.8412, JPY: 171.35 },
  validate: { valid: 18_236, rejected: 4 },
  enrich: { rows: 4560, customers: 912 },
  price: { total: 913_447.2, currency: "EUR", orders: 18_236 },
  summarise: { headline: "Orders up 4 % on the week before", total: 913_447.2 },
  archive: { path: "s3://reports/daily-report.tar.zst", bytes: 7_340_032 },
  "send-report": { recipients: 12 },
};

/** How the demonstration's tasks behave. */
export interface DemoOptions {
  /** How much longer tasks take than the shortest. */
  readonly paceMs: number;
  /** Whether a task fails. */
  readonly fails?: (task: Task) => boolean;
  /** What a task waits for before it completes. */
  readonly gate?: (task: Task) => Promise<void> | undefined;
}

/** What can be done for {@link reportFlow}, and what comes of it. */
export function demoExecutors({ paceMs, fails, gate }: DemoOptions): Readonly<Record<string, Executor>> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, output], index) => [
      name,
      async (task: Task) => {
        task.progress(0.5, "half of it");
        await sleep(paceMs * (1 + ((index * 7 + (task.iteration ?? 0) * 3) % 5)));
        await gate?.(task);
        if (fails?.(task)) {
          throw priceMissing();
        }
        return output;
      },
    ]),
  );
}

/** A failure as a Python worker would report it. */
function priceMissing(): TaskFailure {
  const failure = new TaskFailure("no price for the article SKU-88213 on 2026-11-24", {
    type: "PriceNotFound",
    retryable: false,
  });
  failure.stack = `Traceback (most recent call last):
  File "/srv/worker/run.py", line 88, in execute
    output = task.function(**task.input)
  File "/srv/flows/pricing.py", line 141, in price
    return sum(self.price_of(order) for order in orders)
  File "/srv/flows/pricing.py", line 97, in price_of
    raise PriceNotFound(article, day)
pricing.PriceNotFound: no price for the article SKU-88213 on 2026-11-24`;
  return failure;
}
