import { expect, test } from "vitest";
import { reportFlow } from "./demo.ts";
import { openCleanTab, setStage } from "./stage.ts";
import { signInAt } from "./visitor.ts";

const stage = setStage();

test("the editor shows where a definition is wrong while one types, and saves a new version", async () => {
  const office = await stage.openOffice();
  const flowId = await office.createFlow(reportFlow);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, office.key);
  await page.goto(`${stage.origin}/flows/${flowId}/edit`);
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
