import { notFound } from "../errors.ts";
import type { Engine } from "../task-execution/engine.ts";
import { adopt } from "./adopt.ts";
import { advance } from "./advance.ts";
import { applyExpiry, applyWork } from "./apply-work.ts";
import { outdate } from "./outdate.ts";

/**
 * Creates what drives managed runs.
 *
 * @param random from 0 up to, and without, 1: by it retries spread
 */
export function createEngine(random: () => number): Engine {
  return {
    async apply(work, record, change) {
      switch (change.type) {
        case "work":
          return applyWork(work, record, change, random);
        case "expire":
          return applyExpiry(work, record, change, random);
        case "adopt":
          if (record === undefined) throw notFound("task execution");
          return adopt(work, record, change);
      }
    },
    outdate,
    advance,
  };
}
