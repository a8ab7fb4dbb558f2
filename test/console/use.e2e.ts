import { expect, test } from "vitest";
import { accessibilityProblems } from "./accessibility.ts";
import { demoExecutors, reportFlow, reportInput } from "./demo.ts";
import { openCleanTab, setStage } from "./stage.ts";
import { signInAt } from "./visitor.ts";

const stage = setStage();

test("every call can be copied as a command of grpcurl, which names no key", async () => {
  const office = await stage.openOffice();
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
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
      `127.0.0.1:${stage.port} taskledger.v1.FlowExecutionService/ListFlowExecutions`,
  );
});

test("one can get from the list to a task execution and back with the keyboard alone", async () => {
  const office = await stage.openOffice();
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  const runId = await office.startRun(flowId);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
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

test.each([
  ["light", 1440],
  ["dark", 1440],
  ["light", 390],
] as const)("axe finds nothing serious on any page, %s, %d pixels wide", async (colorScheme, width) => {
  const office = await stage.openOffice();
  const flowId = await office.createFlow(reportFlow);
  await using _ = stage.work(office, demoExecutors({ paceMs: 2, fails: ({ name }) => name === "price" }));
  const runId = await office.startRun(flowId, reportInput);
  await office.finish(runId);
  const failed = await office.newest(runId, "price");
  const extract = await office.newest(runId, "extract");
  await using tab = await openCleanTab({
    colorScheme,
    viewport: { width, height: 900 },
    reducedMotion: "reduce",
  });
  const { page } = tab;
  await page.goto(stage.origin);
  await page.getByLabel("Key or token").waitFor();
  const found: Record<string, string[]> = { "/": await accessibilityProblems(page) };
  await signInAt(page, stage.origin, office.key);
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
    await page.goto(stage.origin + path);
    await page.locator(sign).first().waitFor();
    found[path] = await accessibilityProblems(page);
  }
  await page.goto(`${stage.origin}/tasks/${extract.id}`);
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
