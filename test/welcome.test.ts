import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { welcome } from "../src/welcome.ts";

const address = { address: "127.0.0.1", family: "IPv4", port: 8080 };

test("the first start shows the key in each command", () => {
  const lines = welcome(readConfig({}), { address, secret: "tlk_secret" }).split("\n");
  const commands = lines.filter((line) => line.startsWith("  ") && line.includes(" -H "));
  expect(commands).toHaveLength(3);
  expect(commands.filter((line) => line.includes('"Authorization: Bearer tlk_secret"'))).toHaveLength(3);
});

test("later ones say how to get at the key, also from a directory with an odd name", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "té s't $HOME-"));
  writeFileSync(join(dataDir, "bootstrap-key"), "tlk_kept\n");
  const text = welcome(readConfig({ TASKLEDGER_DATA_DIR: dataDir }), { address });
  const line = text.split("\n").find((each) => each.startsWith("  export "))!;
  const key = execFileSync("sh", ["-c", `${line}; printf %s "$TASKLEDGER_KEY"`]);
  expect(String(key)).toBe("tlk_kept");
  expect(text).toContain('"Authorization: Bearer $TASKLEDGER_KEY"');
  rmSync(dataDir, { recursive: true });
});

test("with a database of one's own the key is one's own, too", () => {
  const text = welcome(readConfig({ DATABASE_URL: "postgres://a/b" }), { address });
  expect(text).toContain("with your key in TASKLEDGER_KEY");
  expect(text).not.toContain("bootstrap-key");
});
