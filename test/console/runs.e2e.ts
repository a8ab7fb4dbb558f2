import { expect, test } from "vitest";
import { makeCertificate } from "../server/certificate.ts";
import { demoExecutors, reportFlow } from "./demo.ts";
import { openOffice } from "./office.ts";
import { ofTheNetwork, openCleanTab, setStage } from "./stage.ts";
import { signInAt } from "./visitor.ts";

const stage = setStage();

test("a run that is started from the form moves to completed without reload", async () => {
  const office = await stage.openOffice();
  const flowId = await office.createFlow(reportFlow);
  const gate = Promise.withResolvers<void>();
  await using _ = stage.work(
    office,
    demoExecutors({ paceMs: 5, gate: ({ name }) => (name === "price" ? gate.promise : undefined) }),
  );
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
  await page.goto(`${stage.origin}/flows/${flowId}`);
  await page.getByRole("button", { name: "Start a run" }).click();
  await page.getByLabel("Day").fill("2026-11-24");
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
  const office = await stage.openOffice();
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
  await page.getByText("Nothing has run yet").waitFor();
  await office.startRun(flowId);
  await page.locator(".table-body .badge.is-queued").waitFor();
  await page.getByRole("button", { name: "completed" }).click();
  await page.getByText("No run passes this filter").waitFor();
  expect(new URL(page.url()).searchParams.get("status")).toBe("completed");
  await using _ = stage.work(office, { only: () => "done" });
  await page.locator(".table-body .badge.is-completed").waitFor();
  await page.getByRole("button", { name: "failed" }).click();
  await page.reload();
  await page.locator(".table-body .badge.is-completed").waitFor();
  expect(await page.getByRole("button", { name: "completed" }).getAttribute("aria-pressed")).toBe("true");
});

test("when the server is killed the console says so, and afterwards shows by itself what happened meanwhile", async () => {
  await using other = await stage.startAnother({});
  const office = await openOffice(other);
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  await office.startRun(flowId);
  await using tab = await openCleanTab({}, ofTheNetwork);
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
  await page.getByText("#1").waitFor();
  await page.evaluate("window.sameDocument = true");
  const startAgain = await stage.kill();
  await page.getByText("Connection lost. Reconnecting").waitFor();
  await office.startRun(flowId);
  await startAgain();
  await page.getByText("#2").waitFor();
  await page.getByText("Connection lost. Reconnecting").waitFor({ state: "hidden" });
  await office.startRun(flowId);
  await page.getByText("#3").waitFor();
  expect(await page.locator(".table-body .table-row").count()).toBe(3);
  expect(await page.evaluate("window.sameDocument")).toBe(true);
});

test("over TLS, where browsers speak HTTP/2, the list of runs is live as well", async () => {
  const office = await stage.openOffice();
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  const { certFile, keyFile } = makeCertificate();
  await using own = await stage.startAnother({ TLS_CERT: certFile, TLS_KEY: keyFile });
  await using tab = await openCleanTab({ ignoreHTTPSErrors: true });
  const { page } = tab;
  await signInAt(page, `https://localhost:${own.port}`, office.key);
  await page.getByText("Nothing has run yet").waitFor();
  const protocols = await page.evaluate<string[]>(
    "[...new Set(performance.getEntriesByType('resource').map((each) => each.nextHopProtocol))]",
  );
  expect(protocols).toEqual(["h2"]);
  await office.startRun(flowId);
  await page.locator(".table-body .badge.is-queued").waitFor();
});

test("a run can be cancelled, deleted and undeleted, each with its reason", async () => {
  const office = await stage.openOffice();
  const runId = await office.startRun(await office.createFlow("name: one\ntasks:\n- name: only\n"));
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
  await page.goto(`${stage.origin}/runs/${runId}`);
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
  await page.goto(`${stage.origin}/runs`);
  await page.getByText("Nothing has run yet").waitFor();
  await page.getByRole("button", { name: "deleted" }).click();
  await page.getByRole("link", { name: "one #1" }).click();
  await page.getByRole("button", { name: "Undelete" }).click();
  await page.locator(".page-head .badge.is-cancelled").waitFor();
});

test("a run with 10,000 task executions scrolls without holding up the page", async () => {
  const office = await stage.openOffice();
  const flowId = await office.createFlow("name: many\ntasks:\n- name: each\n");
  const runId = await office.recordRun(flowId, "each", 10_000);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
  await page.goto(`${stage.origin}/runs/${runId}?view=tasks`);
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
