import cluster from "node:cluster";
import type { Logger } from "pino";
import type { Config } from "../config.ts";
import { endWhenTold } from "../end.ts";
import { startServing } from "../service.ts";
import type { Order, Serving } from "./message.ts";

/**
 * Serves until the first process says that it is enough, or a signal, which a person may send to have one process
 * replaced without failing a call. When the first process dies, Node ends this one at once: with it the port is gone.
 *
 * @throws Error if it cannot serve
 */
export async function serveForFirst(config: Config, log: Logger): Promise<void> {
  if (config.databaseUrl === undefined) {
    throw new Error("the first process has not said where the database is");
  }
  cluster.worker?.once("disconnect", () => log.fatal("the first process has ended"));
  let drain = (): void => process.exit(0);
  process.on("message", (order: Order) => order.type === "drain" && drain());
  const { address, site, ...service } = await startServing(config.databaseUrl, config, log);
  const end = endWhenTold({ drain: service.drain, drainSeconds: config.drainSeconds, log });
  drain = () => end({}, 0);
  process.on("message", (order: Order) => {
    if (order.type === "show") site.show();
    else if (order.type === "notice") site.showNotice(order.text);
  });
  process.send?.({ type: "serving", address } satisfies Serving);
}
