import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { ApiKey_Role as Role } from "../../gen/taskledger/v1/api_key_pb.ts";
import { startIssuer } from "./issuer.ts";
import { ofTheNetwork, openCleanTab, setStage } from "./stage.ts";
import { signInAt } from "./visitor.ts";

const stage = setStage();

test("a key that is not valid is refused with words, and one that is shows the organization and the role", async () => {
  const office = await stage.openOffice();
  await using tab = await openCleanTab({}, ofTheNetwork);
  const { page } = tab;
  await page.goto(stage.origin);
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

test("after a change of key nothing of the last organization is there", async () => {
  const [before, after] = [await stage.openOffice(), await stage.openOffice()];
  const flowId = await before.createFlow("name: secret-plans\ntasks:\n- name: hide\n");
  await before.startRun(flowId);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, before.key);
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
  const office = await stage.openOffice();
  using issuer = await startIssuer();
  await using own = await stage.startAnother(issuer.env);
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

test("a viewer is offered nothing that a viewer may not do", async () => {
  const office = await stage.openOffice();
  const flowId = await office.createFlow("name: one\ntasks:\n- name: only\n");
  await office.startRun(flowId);
  await using tab = await openCleanTab();
  const { page } = tab;
  await signInAt(page, stage.origin, await office.createKey(Role.VIEWER));
  await page.getByRole("link", { name: "one" }).click();
  await page.getByRole("button", { name: "Copy as grpcurl" }).waitFor();
  expect(await page.locator(".page-head button").allTextContents()).toEqual(["Copy as grpcurl"]);
  await page.goto(`${stage.origin}/flows/${flowId}`);
  await page.getByRole("button", { name: "Copy as grpcurl" }).waitFor();
  expect(await page.getByRole("button", { name: "Start a run" }).count()).toBe(0);
});

test("a worker's key, which may read nothing, is told so", async () => {
  const office = await stage.openOffice();
  await using tab = await openCleanTab();
  const { page } = tab;
  await page.goto(stage.origin);
  await page.getByLabel("Key or token").fill(await office.createKey(Role.WORKER));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "This key reads nothing" }).waitFor();
  await page.getByRole("button", { name: "Sign in with another key" }).click();
  await page.getByLabel("Key or token").waitFor();
});
