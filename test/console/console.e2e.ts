import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiKey_Role as Role } from "../../gen/taskledger/v1/api_key_pb.ts";
import { connect } from "../../src/worker/connect.ts";
import type { Executor } from "../../src/worker/task.ts";
import { Worker } from "../../src/worker/worker.ts";
import { openDatabase, type TestDatabase } from "../database.ts";
import { type ServiceProcess, startServiceProcess } from "../service.ts";
import { accessibilityProblems } from "./accessibility.ts";
import { openTab, type Tab } from "./chromium.ts";
import { demoExecutors, reportFlow } from "./demo.ts";
import { startIssuer } from "./issuer.ts";
import { type Office, openOffice } from "./office.ts";
import { signInAt } from "./visitor.ts";

let database: TestDatabase;
let service: ServiceProcess;

beforeAll(async () => {
  database = await openDatabase();
  service = await startServiceProcess(database.serviceUrl);
});

afterAll(async () => {
  await service?.end("SIGKILL");
  await database?.close();
});

/** What Chromium says when the service is away, or refuses a credential: not of the page's making. */
const ofTheNetwork = /Failed to load resource|net::ERR_/;

/** Opens a tab that must not write errors to the console of the browser. */
async function openCleanTab(options: Parameters<typeof openTab>[0] = {}, allowed = /^$/): Promise<Tab> {
  const tab = await openTab(options);
  return {
    ...tab,
    async [Symbol.asyncDispose]() {
      await tab[Symbol.asyncDispose]();
      expect(tab.problems.filter((problem) => !allowed.test(problem))).toEqual([]);
    },
  };
}

/** Works for an organization until the end of the block. */
function work(office: Office, executors: Readonly<Record<string, Executor>>): AsyncDisposable {
  const worker = new Worker({ transport: connect(service.origin, office.key), executors, workerId: "test" });
  return { [Symbol.asyncDispose]: () => worker.stop(1000) };
}

const input = { day: "2026-11-24", region: "emea" };

test("a key that is not valid is refused with words, and one that is shows the organization and the role", async () => {
  const office = await openOffice(service);
  await using tab = await openCleanTab({}, ofTheNetwork);
  const { page } = tab;
  await page.goto(service.origin);
  await page.getByLabel("Key or token").fill("tlk_no-such-key");
  await page.keyboard.press("Enter");
  await page.getByText("The key or token is not valid").waitFor();
  await page.getByLabel("Key or token").fill(office.key);
  await page.keyboard.press("Enter");
  await page.getByText("Nothing has run yet").waitFor();
  expect(await page.locator(".account summary").textContent()).toMatch(new RegExp(`${office.name}\\s*admin`));
  await page.reload();
  await page.getByText("Nothing has run yet").waitFor();
});

test("a run that is started from the form moves to completed without reload", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow(reportFlow);
  const gate = Promise.withResolvers<void>();
  await using _ = work(
    office,
    demoExecutors({ paceMs: 5, gate: ({ name }) => (name === "price" ? gate.promise : undefined) }),
  );
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.goto(`${service.origin}/flows/${flowId}`);
  await page.getByRole("button", { name: "Start a run" }).click();
  await page.getByLabel("Day").fill(input.day);
  await page.getByLabel("Region").selectOption("emea");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.waitForURL("**/runs/*");
  await page.evaluate("window.sameDocument = true");
  await page.locator(".task-box.is-completed", { hasText: "validate" }).waitFor();
  await page.locator(".task-box.is-running", { hasText: "price" }).waitFor();
  gate.resolve();
  await page.locator(".page-head .badge.is-completed").waitFor();
  await expect.poll(() => page.locator(".task-box.is-completed").count()).toBe(8);
  await page.getByText("8/8").waitFor();
  expect(await page.evaluate("window.sameDocument")).toBe(true);
});

test("the list of runs follows what happens, and its filter stands in the URL", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.getByText("Nothing has run yet").waitFor();
  await office.startRun(flowId);
  await page.locator(".table-body .badge.is-queued").waitFor();
  await page.getByRole("button", { name: "completed" }).click();
  await page.getByText("No run passes this filter").waitFor();
  expect(new URL(page.url()).searchParams.get("status")).toBe("completed");
  await using _ = work(office, { only: () => "done" });
  await page.locator(".table-body .badge.is-completed").waitFor();
  await page.getByRole("button", { name: "failed" }).click();
  await page.reload();
  await page.locator(".table-body .badge.is-completed").waitFor();
  expect(await page.getByRole("button", { name: "completed" }).getAttribute("aria-pressed")).toBe("true");
});

test("a failed task shows its error with the traceback, and can be retried", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow(reportFlow);
  let broken = true;
  await using _ = work(office, demoExecutors({ paceMs: 2, fails: ({ name }) => broken && name === "price" }));
  const runId = await office.startRun(flowId, input);
  await office.finish(runId);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.getByRole("link", { name: "daily-report" }).click();
  await page.locator(".task-box.is-failed").click();
  await page.getByRole("heading", { name: "PriceNotFound" }).waitFor();
  expect(await page.getByLabel("Traceback").textContent()).toContain(
    'File "/srv/flows/pricing.py", line 97, in price_of',
  );
  await page.locator(".events li", { hasText: "failed" }).waitFor();
  broken = false;
  await page.getByRole("button", { name: "Retry" }).click();
  await page.locator(".task-names li", { hasText: "send-report" }).waitFor();
  await page.getByRole("button", { name: "Run 4 tasks" }).click();
  await page.locator(".attempts .badge.is-completed").waitFor();
  expect(await page.locator(".attempts li").count()).toBe(2);
});

test("an amended output shows what becomes stale, makes it stale, and what is stale is run again", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow(reportFlow);
  await using _ = work(office, demoExecutors({ paceMs: 2 }));
  const runId = await office.startRun(flowId, input);
  await office.finish(runId);
  const rates = await office.newest(runId, "exchange-rates");
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.goto(`${service.origin}/tasks/${rates.id}`);
  await page.getByRole("button", { name: "Amend output" }).click();
  await page.getByLabel("New output, as JSON").fill("{ not json");
  await page.getByRole("button", { name: "Preview" }).click();
  await page.getByText("This is not JSON").waitFor();
  await page.getByLabel("New output, as JSON").fill('{ "USD": 2 }');
  await page.getByLabel("Reason").fill("The bank was wrong");
  await page.getByRole("button", { name: "Preview" }).click();
  await page.getByText("These 4 become stale").waitFor();
  expect(await page.locator(".outdated li").allTextContents()).toEqual(
    expect.arrayContaining([expect.stringContaining("price"), expect.stringContaining("send-report")]),
  );
  expect((await office.newest(runId, "price")).status).toBe(3);
  await page.getByLabel("Run again at once").uncheck();
  await page.getByRole("button", { name: "Amend", exact: true }).click();
  await page.getByText("output edited").waitFor();
  await page.locator(".json", { hasText: "USD: 2" }).waitFor();
  await page.locator(".events li", { hasText: "The bank was wrong" }).waitFor();

  await page.goto(`${service.origin}/runs/${runId}`);
  await page.getByText("whose output was amended").waitFor();
  expect(await page.locator(".stale-notes p").textContent()).toMatch(
    /price #0.* were made from exchange-rates #0, whose output was amended by .*“The bank was wrong”/,
  );
  expect(await page.locator(".task-box.is-stale").count()).toBe(4);
  await page.getByRole("button", { name: "Run again" }).click();
  await page.getByRole("button", { name: "Run 4 tasks" }).click();
  await page.locator(".page-head .badge.is-completed").waitFor();
  await expect.poll(() => page.locator(".task-box.is-stale").count()).toBe(0);
});

test("when the server is killed the console says so, and recovers by itself when it is there again", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  await office.startRun(flowId);
  await using tab = await openCleanTab({}, ofTheNetwork);
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.getByText("#1").waitFor();
  await page.evaluate("window.sameDocument = true");
  const { port } = service;
  await service.end("SIGKILL");
  await page.getByText("Connection lost. Reconnecting").waitFor();
  service = await startServiceProcess(database.serviceUrl, { PORT: String(port) });
  await page.getByText("Connection lost. Reconnecting").waitFor({ state: "hidden" });
  await office.startRun(flowId);
  await page.getByText("#2").waitFor();
  expect(await page.locator(".table-body .table-row").count()).toBe(2);
  expect(await page.evaluate("window.sameDocument")).toBe(true);
});

test("after a change of key nothing of the last organization is there", async () => {
  const [before, after] = [await openOffice(service), await openOffice(service)];
  const flowId = await before.createFlow("name: secret-plans\ntasks:\n- name: hide\n");
  await before.startRun(flowId);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, before.key);
  await page.getByRole("link", { name: "secret-plans" }).waitFor();
  await page.locator(".account summary").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  expect(await page.content()).not.toContain("secret-plans");
  const seen: string[] = [];
  page.on("response", async (response) => seen.push(await response.text().catch(() => "")));
  await page.getByLabel("Key or token").fill(after.key);
  // From here on every change of the page is looked at, however short.
  await page.evaluate(`
    window.leaks = [];
    new MutationObserver(() => {
      if (document.body.innerHTML.includes("secret-plans")) window.leaks.push(document.body.innerText);
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  `);
  await page.keyboard.press("Enter");
  await page.getByText("Nothing has run yet").waitFor();
  await page.getByRole("link", { name: "Flows", exact: true }).click();
  await page.getByText("There is no flow yet").waitFor();
  await page.getByRole("button", { name: "Calls" }).click();
  expect(await page.locator(".calls").textContent()).not.toContain(flowId);
  expect(await page.evaluate("window.leaks")).toEqual([]);
  expect(await page.evaluate("JSON.stringify({ ...sessionStorage, ...localStorage })")).not.toContain(
    before.key,
  );
  expect(seen.join("\n")).not.toContain("secret-plans");
});

test("a JWT signs in the person it was issued for", async () => {
  const office = await openOffice(service);
  using issuer = await startIssuer();
  await using own = await startServiceProcess(database.serviceUrl, issuer.env);
  const subject = randomUUID();
  await using tab = await openCleanTab();
  const { page } = tab;
  await page.goto(own.origin);
  await page.getByLabel("Key or token").fill(await issuer.issue(subject, office.id, "editor"));
  await page.getByText(`A JWT of ${subject}, valid until`).waitFor();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".account summary").click();
  await page.getByText(`${subject}, editor`).waitFor();
  expect(await page.locator(".account summary").textContent()).toBe(`${office.name}editor`);
});

test("a run can be cancelled, deleted and undeleted, each with its reason", async () => {
  const office = await openOffice(service);
  const runId = await office.startRun(await office.createFlow("name: one\ntasks:\n- name: only\n"));
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.goto(`${service.origin}/runs/${runId}`);
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByLabel("Reason").fill("The wrong day");
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await page.locator(".page-head .badge.is-cancelled").waitFor();
  await page.locator(".task-box.is-cancelled").click();
  await page.locator(".events blockquote", { hasText: "The wrong day" }).waitFor();
  await page.goBack();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete the run" }).click();
  await page.locator(".page-head .badge.is-deleted").waitFor();
  await page.goto(`${service.origin}/runs`);
  await page.getByText("Nothing has run yet").waitFor();
  await page.getByRole("button", { name: "deleted" }).click();
  await page.getByRole("link", { name: "one #1" }).click();
  await page.getByRole("button", { name: "Undelete" }).click();
  await page.locator(".page-head .badge.is-cancelled").waitFor();
});

test("a late result of a worker that lost its lease can be adopted", async () => {
  const office = await openOffice(service);
  const runId = await office.startRun(
    await office.createFlow("name: one\ntasks:\n- name: only\n  lease: 1s\n"),
  );
  await office.reportLate("only", { rows: 7 });
  const { id } = await office.newest(runId, "only", 0);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.goto(`${service.origin}/tasks/${id}`);
  await page.locator(".events li", { hasText: "late result handed in" }).waitFor();
  await page.getByRole("button", { name: "Adopt late result" }).click();
  await page.getByRole("button", { name: "Adopt it" }).click();
  await page.locator(".attempts a", { has: page.locator(".is-completed") }).click();
  await page.locator(".json", { hasText: "rows: 7" }).waitFor();
});

test("a viewer is offered nothing that a viewer may not do", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  await office.startRun(flowId);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, await office.createKey(Role.VIEWER));
  await page.getByRole("link", { name: "one" }).click();
  await page.getByRole("button", { name: "Copy as grpcurl" }).waitFor();
  expect(await page.locator(".page-head button").allTextContents()).toEqual(["Copy as grpcurl"]);
  await page.goto(`${service.origin}/flows/${flowId}`);
  await page.getByRole("button", { name: "Copy as grpcurl" }).waitFor();
  expect(await page.getByRole("button", { name: "Start a run" }).count()).toBe(0);
});

test("every call can be copied as a command of grpcurl, which names no key", async () => {
  const office = await openOffice(service);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.getByText("Nothing has run yet").waitFor();
  await page.getByRole("button", { name: "Calls" }).click();
  await page
    .locator(".calls li", { hasText: "ListFlowExecutions" })
    .first()
    .getByRole("button", { name: "Copy as grpcurl" })
    .click();
  await page.getByText("Copied").waitFor();
  const command = await page.evaluate<string>("navigator.clipboard.readText()");
  expect(command).toBe(
    `grpcurl -plaintext -H "Authorization: Bearer $TASKLEDGER_KEY" -d '{"pageSize":100}' ` +
      `127.0.0.1:${service.port} taskledger.v1.FlowExecutionService/ListFlowExecutions`,
  );
});

test("the editor shows where a definition is wrong while one types, and saves a new version", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow(reportFlow);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.goto(`${service.origin}/flows/${flowId}/edit`);
  const editor = page.getByRole("textbox");
  await page.getByText("No problems.").waitFor();
  await editor.fill(reportFlow.replace("depends_on: [archive]", "depends_on: [archiv]"));
  await page.getByRole("button", { name: '29:18 no task of this flow has the name "archiv"' }).click();
  expect(await page.locator(".gutter-wrong").textContent()).toBe("29\n");
  expect(await page.locator(".yaml-problem").textContent()).toBe("archiv");
  expect(await page.getByRole("button", { name: "Save as v2" }).isDisabled()).toBe(true);
  await page.keyboard.type("x");
  await page.getByRole("button", { name: '29:18 no task of this flow has the name "xarchiv"' }).waitFor();
  await editor.fill(reportFlow.replace("Collects the orders", "Gathers the orders"));
  await page.getByText("No problems.").waitFor();
  await page.getByRole("button", { name: "Save as v2" }).click();
  await page.locator(".versions li", { hasText: "v2" }).waitFor();
  await page.locator(".flow-description", { hasText: "Gathers the orders" }).waitFor();
});

test("a run with 10,000 task executions scrolls without holding up the page", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow("name: many\ntasks:\n- name: each\n");
  const runId = await office.recordRun(flowId, "each", 10_000);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.goto(`${service.origin}/runs/${runId}?view=tasks`);
  await page.getByText("10,000 task executions").waitFor();
  const { slowest, mean, rows, frames } = await page.evaluate<
    Record<"slowest" | "mean" | "rows" | "frames", number>
  >(`
    new Promise((resolve) => {
      const gaps = [];
      let rows = 0;
      let last = performance.now();
      const step = (now) => {
        gaps.push(now - last);
        last = now;
        rows = Math.max(rows, document.querySelectorAll(".table-body .table-row").length);
        if (gaps.length < 120) {
          window.scrollBy(0, 900);
          requestAnimationFrame(step);
        } else {
          const sum = gaps.reduce((a, b) => a + b, 0);
          resolve({ slowest: Math.max(...gaps), mean: sum / gaps.length, rows, frames: gaps.length });
        }
      };
      requestAnimationFrame(step);
    })
  `);
  process.stdout.write(
    `${frames} frames over 10,000 rows: ${mean.toFixed(1)} ms on average, ${slowest.toFixed(0)} ms at most, ${rows} rows in the page at most\n`,
  );
  expect(rows).toBeLessThan(100);
  await page.keyboard.press("End");
  await page.getByRole("link", { name: "each #0", exact: true }).waitFor();
  await page.getByRole("button", { name: "Task", exact: true }).click();
  await page.keyboard.press("Home");
  await page.getByRole("link", { name: "each #0", exact: true }).waitFor();
});

test("one can get from the list to a task execution and back with the keyboard alone", async () => {
  const office = await openOffice(service);
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  const runId = await office.startRun(flowId);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, service.origin, office.key);
  await page.getByRole("link", { name: "one #1" }).waitFor();
  await page.reload();
  await page.getByRole("link", { name: "one #1" }).waitFor();
  await page.keyboard.press("Tab");
  expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the content");
  await page.keyboard.press("Enter");
  for (let presses = 0; presses < 20; presses++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate<boolean>("document.activeElement.matches('.row-link')")) {
      break;
    }
  }
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/runs/${runId}`);
  await page.getByRole("button", { name: "Cancel", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
});

test.each(["light", "dark"] as const)("axe finds nothing serious on any page, %s", async (colorScheme) => {
  const office = await openOffice(service);
  const flowId = await office.createFlow(reportFlow);
  await using _ = work(office, demoExecutors({ paceMs: 2, fails: ({ name }) => name === "price" }));
  const runId = await office.startRun(flowId, input);
  await office.finish(runId);
  const failed = await office.newest(runId, "price");
  const extract = await office.newest(runId, "extract");
  await using tab = await openCleanTab({ colorScheme, reducedMotion: "reduce" });
  const { page } = tab;
  await page.goto(service.origin);
  await page.getByLabel("Key or token").waitFor();
  const found: Record<string, string[]> = { "/": await accessibilityProblems(page) };
  await signInAt(page, service.origin, office.key);
  for (const [path, sign] of [
    ["/runs", ".row-link"],
    [`/runs/${runId}`, ".task-box"],
    [`/runs/${runId}?view=timeline`, ".bar"],
    [`/runs/${runId}?view=tasks`, ".row-link"],
    [`/runs/${runId}?view=input`, ".json"],
    [`/tasks/${failed.id}`, ".events li"],
    ["/flows", ".row-link"],
    [`/flows/${flowId}`, ".versions li"],
    [`/flows/${flowId}/edit`, ".yaml-key"],
    ["/flows/new", ".yaml-key"],
    ["/nowhere", ".empty"],
  ] as const) {
    await page.goto(service.origin + path);
    await page.locator(sign).first().waitFor();
    found[path] = await accessibilityProblems(page);
  }
  await page.goto(`${service.origin}/tasks/${extract.id}`);
  for (const [button, ready] of [
    ["Amend output", "Preview"],
    ["Run again", "Leave it"],
    ["Delete", "Delete it"],
    ["Calls", "Close"],
  ] as const) {
    await page.getByRole("button", { name: button, exact: true }).click();
    await page.getByRole("button", { name: ready, exact: true }).waitFor();
    found[button] = await accessibilityProblems(page);
    await page.keyboard.press("Escape");
  }
  expect(found).toEqual(Object.fromEntries(Object.keys(found).map((path) => [path, []])));
});
