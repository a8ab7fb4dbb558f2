import { findAddress, openLedger } from "../client/ledger.ts";
import { demo } from "./demo.ts";

// `npm run demo`: a run with a retry, a correction and the execution of what became stale, against the running service.
try {
  await demo(openLedger(findAddress()), (line) => process.stdout.write(`${line}\n`));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
