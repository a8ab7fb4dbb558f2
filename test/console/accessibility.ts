import axe from "axe-core";
import type { Page } from "playwright-core";

/** Returns what people cannot use of a page as it is now: the serious and critical findings of axe. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  // Not as an element of the page: its policy lets no foreign script in.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>(
    "axe.run(document, { resultTypes: ['violations'] })",
  );
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`));
}
