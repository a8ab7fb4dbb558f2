import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { chooseAccount } from "../../../src/db/embedded/account.ts";
import { locateBinaries } from "../../../src/db/embedded/binaries.ts";
import { startServer, stopServer } from "../../../src/db/embedded/server.ts";
import { startEmbeddedPostgres } from "../../../src/db/embedded.ts";
import { end, newDir, query, start, startService } from "./fixture.ts";

describe("a service that is killed", () => {
  it("leaves a server behind, which the next one takes over as it runs", async () => {
    const dataDir = join(await newDir(), "data");
    const first = startService(dataDir);
    const left = await first.postgres;
    await query(left.ownerUrl, "create table kept (id int)");
    await end(first, "SIGKILL");

    const { stop, ...adopted } = await start(dataDir);
    expect(adopted).toEqual(left);
    await query(adopted.ownerUrl, "select * from kept");
    await stop();
    await expect(query(adopted.ownerUrl, "select 1")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("leaves one that allows too few connections, and the next start has one that allows enough", async () => {
    const dataDir = join(await newDir(), "data");
    const first = startService(dataDir);
    const left = await first.postgres;
    await query(left.ownerUrl, "create table kept (id int)");
    await end(first, "SIGKILL");

    const next = await startEmbeddedPostgres({ dataDir, fsync: false, connections: 120 });
    onTestFinished(() => next.stop());
    expect(next.pid).not.toBe(left.pid);
    await query(next.ownerUrl, "select * from kept");
    const { rows } = await query(next.superuserUrl, "show max_connections");
    expect(rows).toEqual([{ max_connections: "120" }]);
  });

  it("while it makes the directory leaves nothing that stands in the way", async () => {
    const dataDir = join(await newDir(), "data");
    await mkdir(dataDir);
    const first = startService(dataDir);
    const names = async () => (await readdir(dataDir)).filter((name) => name.startsWith("unfinished-"));
    while ((await names()).length === 0) await delay(1);
    await end(first, "SIGKILL");
    expect(await readdir(dataDir)).not.toContain("cluster");

    const postgres = await start(dataDir);
    expect(await names()).toEqual([]);
    await query(postgres.serviceUrl, "select 1");
  });

  it("before the roles and the database are complete has them completed", async () => {
    const dataDir = join(await newDir(), "data");
    const first = await start(dataDir);
    await query(first.superuserUrl, "drop database taskledger");
    await query(first.superuserUrl, "drop role taskledger_service");
    await first.stop();

    const second = await start(dataDir);
    await query(second.ownerUrl, "create table made (id int)");
    await query(second.serviceUrl, "select 1");
  });
});

describe("a data directory that is in use", () => {
  it("is refused to another process, which learns who uses it", async () => {
    const dataDir = join(await newDir(), "data");
    const first = startService(dataDir);
    const { serviceUrl } = await first.postgres;
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow(
      `another Taskledger (process ${first.child.pid})`,
    );
    await expect(startService(dataDir).postgres).rejects.toThrow(
      `another Taskledger (process ${first.child.pid})`,
    );
    await query(serviceUrl, "select 1");
  });

  it("is refused within the process too", async () => {
    const dataDir = join(await newDir(), "data");
    const first = await start(dataDir);
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow(
      `another Taskledger (process ${process.pid})`,
    );
    await query(first.serviceUrl, "select 1");
  });

  it("is had by exactly one of several that take a killed one's place at the same moment", async () => {
    const dataDir = join(await newDir(), "data");
    const killed = startService(dataDir);
    const { pid } = await killed.postgres;
    await end(killed, "SIGKILL");
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map(() => startService(dataDir).postgres));
    const started = outcomes.filter((outcome) => outcome.status === "fulfilled");
    expect(started.map(({ value }) => value.pid)).toEqual([pid]);
  });
});

describe("a server that is killed", () => {
  it("comes back with what was committed", async () => {
    const dataDir = join(await newDir(), "data");
    const first = await start(dataDir);
    await query(first.ownerUrl, "create table kept (id int)");
    await query(first.ownerUrl, "insert into kept select generate_series(1, 1000)");
    process.kill(first.pid, "SIGKILL");
    await first.stop();

    const second = await start(dataDir);
    expect(second.pid).not.toBe(first.pid);
    expect((await query(second.ownerUrl, "select count(*)::int from kept")).rows).toEqual([{ count: 1000 }]);
  });

  it("comes back even if its process id is a stranger's now", async () => {
    const dataDir = join(await newDir(), "data");
    const first = await start(dataDir);
    await first.stop();
    const pidFile = join(dataDir, "cluster", "postmaster.pid");
    // PostgreSQL takes it for its own: it lives, and is none of the new server's ancestors.
    const stranger = startService(join(await newDir(), "other"));
    const { pid } = await stranger.postgres;
    await writeFile(
      pidFile,
      `${pid}\n${dataDir}/cluster\n1\n1\n\n127.0.0.1\n        1         1\nready   \n`,
    );

    const second = await start(dataDir);
    expect(second.pid).not.toBe(pid);
    await query(second.serviceUrl, "select 1");
  });
});

it("takes another port if the first was taken between picking it and using it", async () => {
  const dataDir = join(await newDir(), "data");
  await (await start(dataDir)).stop();
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const busy = (taken.address() as { port: number }).port;
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const free = (other.address() as { port: number }).port;
  other.close();

  const binaries = await locateBinaries();
  const clusterDir = join(dataDir, "cluster");
  const account = await chooseAccount(clusterDir, [dataDir, dirname(binaries.postgres)]);
  const place = {
    clusterDir,
    logFile: join(dataDir, "postgres.log"),
    binaries,
    account,
    fsync: false,
    connections: 100,
  };
  const ports = [busy, free];
  const server = await startServer(place, async () => ports.shift() ?? 0);
  await stopServer(place, server.pid);
  expect(server.port).toBe(free);
  expect(ports).toEqual([]);
});
