import { expect, test } from "vitest";
import { pathOf, startServer } from "./server.ts";

const path = pathOf("GetTaskExecution");
const console = "https://console.example";
const preflight = {
  method: "OPTIONS",
  headers: { origin: console, "access-control-request-method": "POST" },
};

test("a page of an allowed origin may ask for leave, call, and read what it needs", async () => {
  await using server = await startServer({ corsOrigins: ["https://other.example", console] });
  const leave = await fetch(server.origin + path, preflight);
  expect(leave.status).toBe(204);
  expect(leave.headers.get("access-control-allow-origin")).toBe(console);
  expect(leave.headers.get("access-control-allow-methods")).toBe("POST, GET");
  expect(leave.headers.get("access-control-max-age")).toBe("7200");
  expect(leave.headers.get("vary")).toBe("Origin");
  const allowed = leave.headers.get("access-control-allow-headers")?.toLowerCase() ?? "";
  for (const header of [
    "content-type",
    "connect-protocol-version",
    "authorization",
    "x-api-key",
    "x-request-id",
  ]) {
    expect(allowed).toContain(header);
  }
  const headers = { origin: console, "content-type": "application/json" };
  const answer = await fetch(server.origin + path, { method: "POST", headers, body: "{}" });
  expect(answer.headers.get("access-control-allow-origin")).toBe(console);
  const exposed = answer.headers.get("access-control-expose-headers")?.toLowerCase() ?? "";
  for (const header of ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"]) {
    expect(exposed).toContain(header);
  }
  expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
});

test.each([
  ["of another origin", [console], "https://evil.example"],
  ["of an origin that only begins like it", [console], `${console}.evil.example`],
  ["of another port", [console], `${console}:8443`],
  ["without an origin", [console], "null"],
  ["of any origin when none is allowed", [], console],
])("a page %s is given no leave", async (_, corsOrigins, origin) => {
  await using server = await startServer({ corsOrigins });
  const response = await fetch(server.origin + path, {
    ...preflight,
    headers: { ...preflight.headers, origin },
  });
  expect(response.status).toBe(405);
  expect(response.headers.has("access-control-allow-origin")).toBe(false);
});

test("any origin may be allowed, but never with credentials", async () => {
  await using server = await startServer({ corsOrigins: ["*"] });
  const response = await fetch(server.origin + path, preflight);
  expect(response.headers.get("access-control-allow-origin")).toBe("*");
  expect(response.headers.has("access-control-allow-credentials")).toBe(false);
});
