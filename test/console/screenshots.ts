import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrations.ts";
import { bootstrapKey, startServiceProcess } from "../service.ts";
import { openTab } from "./chromium.ts";
import { prepareDemo } from "./demo-history.ts";
import { signInAt } from "./visitor.ts";

// Makes docs/screenshots/: each page of the console, light and dark, on a wide and on a narrow screen.

const directory = join(import.meta.dirname, "../../docs/screenshots");
const most = 3_000_000;

const dir = await mkdtemp(join(tmpdir(), "taskledger-screenshots-"));
await chmod(dir, 0o711);
const postgres = await startEmbeddedPostgres({ dataDir: join(dir, "data"), fsync: false });
try {
  await migrate(postgres.ownerUrl, decodeURIComponent(new URL(postgres.serviceUrl).username));
  await using service = await startServiceProcess(postgres.serviceUrl, { LOG_LEVEL: "info" });
  await using demo = await prepareDemo(service);
  await mkdir(directory, { recursive: true });

  const pages: Readonly<Record<string, (page: Page) => Promise<unknown>>> = {
    runs: async (page) => {
      await page.goto(`${service.origin}/runs`);
      await page.locator(".row-link").first().waitFor();
    },
    graph: async (page) => {
      await page.goto(`${service.origin}/runs/${demo.failedRunId}`);
      await page.locator(".task-box").first().waitFor();
    },
    timeline: async (page) => {
      await page.goto(`${service.origin}/runs/${demo.completedRunId}?view=timeline`);
      await page.locator(".bar").first().waitFor();
    },
    stale: async (page) => {
      await page.goto(`${service.origin}/runs/${demo.staleRunId}?view=tasks`);
      await page.getByText("whose output was amended").waitFor();
    },
    failure: async (page) => {
      await page.goto(`${service.origin}/tasks/${demo.failedTaskId}`);
      await page.getByText("Traceback (most").waitFor();
      await page.locator(".events li").first().waitFor();
    },
    amend: async (page) => {
      await page.goto(`${service.origin}/tasks/${demo.completedTaskId}`);
      await page.getByRole("button", { name: "Amend output" }).click();
      await page.getByLabel("New output, as JSON").fill('{ "rows": 18236, "files": ["orders-00.parquet"] }');
      await page.getByRole("button", { name: "Preview" }).click();
      await page.locator(".outdated").waitFor();
    },
    flow: async (page) => {
      await page.goto(`${service.origin}/flows/${demo.flowId}`);
      await page.locator(".task-box").first().waitFor();
    },
    editor: async (page) => {
      await page.goto(`${service.origin}/flows/${demo.flowId}/edit`);
      await page.getByText("No problems.").waitFor();
      const editor = page.getByRole("textbox");
      await editor.fill((await editor.inputValue()).replace("depends_on: [price]", "depends_on: [prise]"));
      await page.locator(".editor-problems button").first().waitFor();
    },
    start: async (page) => {
      await page.goto(`${service.origin}/flows/${demo.flowId}`);
      await page.getByRole("button", { name: "Start a run" }).click();
      await page.getByLabel("Day").fill("2026-11-24");
      await page.getByLabel("Region").selectOption("emea");
    },
  };

  let total = 0;
  for (const [width, height] of [
    [1440, 800],
    [390, 844],
  ] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await using tab = await openTab({ colorScheme, viewport: { width, height }, reducedMotion: "reduce" });
      await tab.page.goto(service.origin);
      await tab.page.getByLabel("Key or token").waitFor();
      const take = async (name: string) => {
        const path = join(directory, `${name}-${colorScheme}-${width}.png`);
        await tab.page.evaluate("document.fonts.ready.then(() => undefined)");
        await tab.page.screenshot({ path });
        total += (await stat(path)).size;
      };
      await take("sign-in");
      await signInAt(tab.page, service.origin, bootstrapKey);
      for (const [name, visit] of Object.entries(pages)) {
        await visit(tab.page);
        await take(name);
        const overflow = await tab.page.evaluate<number>(
          "document.documentElement.scrollWidth - document.documentElement.clientWidth",
        );
        if (overflow > 0) {
          process.stderr.write(`${name} at ${width} is ${overflow} pixels too wide\n`);
          process.exitCode = 1;
        }
      }
      for (const problem of tab.problems) {
        process.stderr.write(`${problem}\n`);
        process.exitCode = 1;
      }
    }
  }
  process.stdout.write(`${(total / 1e6).toFixed(2)} MB of pictures, at most ${most / 1e6}\n`);
  if (total > most) {
    process.exitCode = 1;
  }
} finally {
  await postgres.stop();
  await rm(dir, { recursive: true, force: true });
}
