import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import type { Site } from "./server/site.ts";

const program = fileURLToPath(new URL("../scripts/build-console.ts", import.meta.url));

/**
 * Builds the console if it is missing or old, in a process of its own, while the API is served already.
 *
 * Until then browsers are told so. A machine on which it cannot be built, because the packages cannot be
 * fetched for example, serves the API all the same.
 */
export function buildConsole(site: Pick<Site, "show" | "showNotice">, log: Logger): void {
  site.showNotice("The console is being built; this page comes back by itself. The API is there already.");
  const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "pipe"] });
  const tail: string[] = [];
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on("line", (line) => {
      tail.push(line);
      tail.splice(0, tail.length - 10);
    });
  }
  const fail = (reason: string) => {
    log.warn({ reason, output: tail }, "the console could not be built; the API is served without it");
    site.showNotice(
      "The console could not be built; the log of the service says why. The API is there. " +
        "<code>npm run build:console</code> tries again; then start the service anew.",
    );
  };
  child.once("error", (error) => fail(error.message));
  child.once("close", (code) => {
    if (code === 0) {
      site.show();
      log.info("the console is ready");
    } else {
      fail(`exit code ${code}`);
    }
  });
  // The build ends with us; what it had done is thrown away by the next one.
  process.once("exit", () => child.kill());
}
