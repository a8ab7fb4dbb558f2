import { setTimeout as sleep } from "node:timers/promises";
import { type Executor, type Task, TaskFailure } from "../worker/task.ts";

/** The name of the flow of the demo. */
export const demoName = "Taskledger demo: orders";

/** The flow of the demo: a fan-out over orders, and a rate that some of what follows is made from. */
export const demoDefinition = `\
name: "${demoName}"
tasks:
- name: list_orders
  executor: demo.list_orders
- name: get_rate
  executor: demo.get_rate
- name: check_order
  executor: demo.check_order
  for_each: "{{list_orders.output}}"
  retry: {max_attempts: 3, initial_backoff: 500ms}
- name: count_orders
  executor: demo.count_orders
  input: "{{check_order.output}}"
- name: add_up
  executor: demo.add_up
  input: {orders: "{{check_order.output}}", rate: "{{get_rate.output.rate}}"}
- name: write_report
  executor: demo.write_report
  input: {total: "{{add_up.output}}"}
`;

interface Order {
  readonly id: string;
  readonly euros: number;
}

const orders: readonly Order[] = [
  { id: "A-1", euros: 40 },
  { id: "A-2", euros: 15 },
  { id: "A-3", euros: 25 },
  { id: "A-4", euros: 20 },
];

/** The rate that the demo finds, and the one that it is corrected to. */
export const rates = { found: 1.1, right: 1.2 };

/** What the workers of the demo can do. Each takes a moment, so that there is something to see. */
export const demoExecutors: Readonly<Record<string, Executor>> = {
  "demo.list_orders": slowly(() => orders),
  "demo.get_rate": slowly(() => ({ rate: rates.found })),
  "demo.check_order": slowly(({ input, attempt }) => {
    const order = input as unknown as Order;
    if (order.id === "A-3" && attempt === 1) {
      throw new TaskFailure("the shop did not answer", { type: "ShopUnavailable" });
    }
    return { ...order, checked: true };
  }),
  "demo.count_orders": slowly(({ input }) => (input as readonly unknown[]).length),
  "demo.add_up": slowly(({ input }) => {
    const { orders: checked, rate } = input as unknown as { orders: readonly Order[]; rate: number };
    return Math.round(checked.reduce((sum, { euros }) => sum + euros, 0) * rate);
  }),
  "demo.write_report": slowly(({ input }) => `We sold for ${(input as { total: number }).total} dollars.`),
};

function slowly(work: (task: Task) => unknown): Executor {
  return async (task) => {
    await sleep(150, undefined, { signal: task.signal });
    return work(task);
  };
}
