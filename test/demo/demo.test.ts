import { expect, test } from "vitest";
import { openDatabase } from "../database.ts";
import { runCommand } from "../replay/command.ts";
import { startTestService } from "../service.ts";

test("the demo tells of a retry, a correction and what is executed anew, and ends well each time", async () => {
  const database = await openDatabase();
  {
    await using service = await startTestService(database.serviceUrl);
    for (const runNumber of [1, 2]) {
      const { code, output, errors } = await runCommand(service, "demo/main.ts");
      expect(errors).toBe("");
      expect(code).toBe(0);
      expect(output).toContain(`Run ${runNumber} of`);
      expect(output).toContain("check_order[2]  failed: the shop did not answer");
      expect(output).toContain("check_order[2]  completed at attempt 2");
      expect(output).toContain("the report says: We sold for 110 dollars.");
      expect(output).toContain("add_up is stale\n  write_report is stale\n");
      expect(output).toContain("and nothing else: add_up, write_report");
      expect(output).toContain("the report says: We sold for 120 dollars.");
      expect(output).toContain("12 task executions: 9 completed, 1 failed, 2 stale.");
    }
  }
  await database.close();
}, 60_000);

test("the demo says when there is no service", async () => {
  const { code, errors } = await runCommand({ origin: "http://127.0.0.1:9" }, "demo/main.ts");
  expect(code).toBe(1);
  expect(errors).toContain("ECONNREFUSED");
}, 60_000);
