import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase, type TestDatabase } from "../database.ts";
import { startServiceProcess } from "../service.ts";
import { connectRawHttp2, encodeHeaders, frameTypes } from "./raw-http2.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database?.close());

test("nobody's request is refused before its body is read, let alone decoded", async () => {
  await using service = await startServiceProcess(database.serviceUrl);
  const raw = await connectRawHttp2(service.port);
  // The headers, and not a byte of the body, which never ends.
  await raw.write(
    frameTypes.headers,
    0x4,
    1,
    encodeHeaders([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", "/taskledger.v1.TaskExecutionService/BatchCreateTaskExecutions"],
      [":authority", "localhost"],
      ["content-type", "application/json"],
    ]),
  );
  await expect
    .poll(() => raw.frames().some(({ type, streamId }) => type === frameTypes.headers && streamId === 1))
    .toBe(true);
  raw.destroy();
});

test("megabytes of tiny messages from nobody cost next to nothing", async () => {
  await using service = await startServiceProcess(database.serviceUrl);
  const cpuMs = async () => {
    const fields = (await readFile(`/proc/${service.pid}/stat`, "utf8")).split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  };
  const url = `${service.origin}/taskledger.v1.TaskExecutionService/BatchCreateTaskExecutions`;
  const body = `{"requests":[${"{},".repeat(1_000_000)}{}]}`;
  const post = () =>
    fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body }).then(
      ({ status }) => status,
      // Closed before all of it was sent.
      () => 401,
    );
  await post();
  const before = await cpuMs();
  expect(new Set(await Promise.all(Array.from({ length: 10 }, post)))).toEqual(new Set([401]));
  // Decoded, each of them would take a second.
  expect((await cpuMs()) - before).toBeLessThan(3000);
});
