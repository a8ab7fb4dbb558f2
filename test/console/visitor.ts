import type { Page } from "playwright-core";
import { bootstrapKey } from "../service.ts";

/** Opens the console and signs in. */
export async function signInAt(page: Page, origin: string, key: string = bootstrapKey): Promise<void> {
  await page.goto(origin);
  await page.getByLabel("Key or token").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Runs", exact: true }).waitFor();
}
