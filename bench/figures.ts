import { batchCreate } from "./figures/batch-create.ts";
import { claimReport } from "./figures/claim-report.ts";
import { claimReportFull } from "./figures/claim-report-full.ts";
import { create } from "./figures/create.ts";
import { get } from "./figures/get.ts";
import { hotRun } from "./figures/hot-run.ts";
import { ingestStream } from "./figures/ingest.ts";
import { list } from "./figures/list.ts";
import { loneCreate } from "./figures/lone-create.ts";
import { memory } from "./figures/memory.ts";
import type { Figure } from "./harness/figure.ts";

/** All figures, in the order in which they are measured and shown. */
export const figures: readonly Figure[] = [
  create,
  loneCreate,
  get,
  batchCreate,
  ingestStream,
  claimReport,
  claimReportFull,
  list,
  hotRun,
  memory,
];
