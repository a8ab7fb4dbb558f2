import { expect, test } from "vitest";
import { demoExecutors, reportFlow, reportInput } from "./demo.ts";
import { openCleanTab, setStage } from "./stage.ts";
import { signInAt } from "./visitor.ts";

const stage = setStage();

test("a failed task shows its error with the traceback, and can be retried", async () => {
  const office = await stage.openOffice();
  const flowId = await office.createFlow(reportFlow);
  let broken = true;
  await using _ = stage.work(
    office,
    demoExecutors({ paceMs: 2, fails: ({ name }) => broken && name === "price" }),
  );
  const runId = await office.startRun(flowId, reportInput);
  await office.finish(runId);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
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
  const office = await stage.openOffice();
  const flowId = await office.createFlow(reportFlow);
  await using _ = stage.work(office, demoExecutors({ paceMs: 2 }));
  const runId = await office.startRun(flowId, reportInput);
  await office.finish(runId);
  const rates = await office.newest(runId, "exchange-rates");
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
  await page.goto(`${stage.origin}/tasks/${rates.id}`);
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

  await page.goto(`${stage.origin}/runs/${runId}`);
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

test("a late result of a worker that lost its lease can be adopted", async () => {
  const office = await stage.openOffice();
  const runId = await office.startRun(
    await office.createFlow("name: one\ntasks:\n- name: only\n  lease: 1s\n"),
  );
  await office.reportLate("only", { rows: 7 });
  const { id } = await office.newest(runId, "only", 0);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
  await page.goto(`${stage.origin}/tasks/${id}`);
  await page.locator(".events li", { hasText: "late result handed in" }).waitFor();
  await page.getByRole("button", { name: "Adopt late result" }).click();
  await page.getByRole("button", { name: "Adopt it" }).click();
  await page.locator(".attempts a", { has: page.locator(".is-completed") }).click();
  await page.locator(".json", { hasText: "rows: 7" }).waitFor();
});
