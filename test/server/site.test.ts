import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Site } from "../../src/server/site.ts";
import { pathOf, startServer } from "./server.ts";
import { send } from "./wire.ts";

const script = `export const words = ${JSON.stringify("of the console ".repeat(200))};\n`;
const page =
  '<!doctype html><title>Taskledger</title><script type="module" src="/assets/app-1.js"></script>\n';
const browser = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };

let directory: string;
let built: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "taskledger-site-"));
  built = join(directory, "dist");
  mkdirSync(join(built, "assets"), { recursive: true });
  writeFileSync(join(built, "index.html"), page);
  writeFileSync(join(built, "assets/app-1.js"), script);
  writeFileSync(join(built, "manifest.json"), "{}");
  writeFileSync(join(directory, "secret.txt"), "not for you");
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test.each(["/", "/runs", "/runs/0199f000-0000-7000-8000-000000000000?view=graph"])(
  "a browser that asks for %s is given the page, under a policy that lets nothing else in",
  async (path) => {
    await using server = await startServer({ site: new Site(built) });
    const response = await fetch(server.origin + path, { headers: browser });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(page);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toContain("unsafe");
  },
);

test("a script is kept for ever, compressed for those who can read that", async () => {
  await using server = await startServer({ site: new Site(built) });
  const url = `${server.origin}/assets/app-1.js`;
  const compressed = await fetch(url, { headers: { "accept-encoding": "br, gzip" } });
  expect(compressed.headers.get("content-encoding")).toBe("gzip");
  expect(compressed.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
  expect(compressed.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  expect(Number(compressed.headers.get("content-length"))).toBeLessThan(script.length / 2);
  expect(await compressed.text()).toBe(script);
  for (const encodings of ["identity", "gzip;q=0"]) {
    const plain = await fetch(url, { headers: { "accept-encoding": encodings } });
    expect(plain.headers.get("content-encoding")).toBeNull();
    expect(await plain.text()).toBe(script);
  }
});

test("a browser that has the page already is not sent it again", async () => {
  await using server = await startServer({ site: new Site(built) });
  const first = await fetch(server.origin, { headers: browser });
  const headers = { ...browser, "if-none-match": first.headers.get("etag") ?? "" };
  const again = await fetch(server.origin, { headers });
  expect(again.status).toBe(304);
  expect(await again.text()).toBe("");
});

test("HEAD is answered with the headers alone", async () => {
  await using server = await startServer({ site: new Site(built) });
  const response = await fetch(server.origin, { method: "HEAD", headers: browser });
  expect(response.status).toBe(200);
  expect(Number(response.headers.get("content-length"))).toBe(page.length);
  expect(await response.text()).toBe("");
});

test("HTTP/2 gets the same page", async () => {
  await using server = await startServer({ site: new Site(built) });
  const session = connect(server.origin);
  const response = await send(session, { ":method": "GET", ":path": "/runs", ...browser });
  session.close();
  expect(response.status).toBe(200);
  expect(response.body.toString()).toBe(page);
});

test.each([
  ["a method, with GET", `${pathOf("GetTaskExecution")}?encoding=json&message=%7B%7D`],
  ["a method that does not exist", "/taskledger.v1.TaskExecutionService/NoSuchMethod"],
  ["a service that does not exist", "/taskledger.v9.NoSuchService/Get"],
])("a browser that asks for %s gets the answer of the API", async (_, path) => {
  await using server = await startServer({ site: new Site(built), tasks: { getTaskExecution: () => ({}) } });
  const response = await fetch(server.origin + path, { headers: browser });
  expect(response.headers.get("content-type")).toContain("json");
  expect(await response.text()).not.toContain("<!doctype");
});

test.each(["/assets/app-0.js", "/manifest.json", "/../secret.txt", "/%2e%2e/secret.txt", "/favicon.ico"])(
  "%s is no page and no file of the site",
  async (path) => {
    await using server = await startServer({ site: new Site(built) });
    const session = connect(server.origin);
    const response = await send(session, { ":method": "GET", ":path": path, accept: "*/*" });
    session.close();
    expect(response.status).toBe(404);
    expect(response.body.toString()).not.toContain("not for you");
  },
);

test("a call with POST is never a page", async () => {
  await using server = await startServer({ site: new Site(built) });
  const response = await fetch(server.origin, { method: "POST", headers: browser, body: "{}" });
  expect(response.status).toBe(404);
});

test("while the console is being built, its pages say so and its scripts are not there", async () => {
  const site = new Site(built);
  site.showNotice("The console is being built.");
  await using server = await startServer({ site });
  const notice = await fetch(`${server.origin}/runs`, { headers: browser });
  expect(notice.status).toBe(503);
  expect(notice.headers.get("cache-control")).toBe("no-store");
  expect(await notice.text()).toContain("The console is being built.");
  expect((await fetch(`${server.origin}/assets/app-1.js`)).status).toBe(404);
  site.show();
  expect(await (await fetch(`${server.origin}/runs`, { headers: browser })).text()).toBe(page);
});

test("a service whose console was never built says how to build it, and shows it when it is", async () => {
  const later = join(directory, "later");
  await using server = await startServer({ site: new Site(later) });
  const response = await fetch(server.origin, { headers: browser });
  expect(response.status).toBe(503);
  expect(await response.text()).toContain("npm run build:console");
  cpSync(built, later, { recursive: true });
  expect(await (await fetch(server.origin, { headers: browser })).text()).toBe(page);
});
