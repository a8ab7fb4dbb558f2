import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Where Debian, Ubuntu, Fedora and macOS put it, unless CHROMIUM says otherwise. */
const places = [
  process.env["CHROMIUM"] ?? "",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** A tab of a browser of its own. */
export interface Tab extends AsyncDisposable {
  readonly page: Page;
  /** What the page wrote to the console as an error, or threw; empty if all is well. */
  readonly problems: readonly string[];
}

/** What a tab may be given. */
export type TabOptions = Pick<
  BrowserContextOptions,
  "colorScheme" | "viewport" | "reducedMotion" | "ignoreHTTPSErrors"
>;

/**
 * Opens a tab in a new Chromium that knows nothing.
 *
 * @throws Error if there is no Chromium on this machine
 */
export async function openTab(options: TabOptions = {}): Promise<Tab> {
  const executablePath = places.find((place) => place !== "" && existsSync(place));
  if (executablePath === undefined) {
    throw new Error(
      "there is no Chromium: install it (apt-get install chromium), or set CHROMIUM to its path",
    );
  }
  const directory = mkdtempSync(join(tmpdir(), "taskledger-chromium-"));
  const context = await chromium.launchPersistentContext(directory, {
    executablePath,
    headless: true,
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    timezoneId: "UTC",
    permissions: ["clipboard-read", "clipboard-write"],
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
    ...options,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") {
      problems.push(`${message.text()} (${message.location().url})`);
    }
  });
  return {
    page,
    problems,
    async [Symbol.asyncDispose]() {
      await context.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
