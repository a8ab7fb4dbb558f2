import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { bootstrapKey, type TestService } from "../service.ts";

/** What a command printed, and its exit code. */
export interface Ran {
  readonly code: number | string | null | undefined;
  readonly output: string;
  readonly errors: string;
}

/** Runs a command of ours against a service, as its administrator, and waits for its end. */
export function runCommand(
  service: Pick<TestService, "origin">,
  program: string,
  args: readonly string[] = [],
): Promise<Ran> {
  const path = fileURLToPath(new URL(`../../src/${program}`, import.meta.url));
  const env = { PATH: process.env["PATH"], TASKLEDGER_URL: service.origin, TASKLEDGER_KEY: bootstrapKey };
  return new Promise((resolve) => {
    execFile(process.execPath, [path, ...args], { env }, (error, output, errors) =>
      resolve({ code: error === null ? 0 : error.code, output, errors }),
    );
  });
}
