import { expect, test } from "vitest";
import { isAuthority } from "../../src/server/authority.ts";

test.each([
  "localhost",
  "localhost:8080",
  "127.0.0.1:1",
  "[::1]:65535",
  "ledger.example.com",
  "my_service.default.svc:443",
])("%s is a host", (authority) => {
  expect(isAuthority(authority)).toBe(true);
});

test.each([
  undefined,
  "",
  "[",
  "]",
  "[::1",
  ":",
  ":80",
  "a:",
  "a:99999",
  "127.0.0.1:abc",
  "a%zz",
  "%2f",
  "x@y",
  "x@y:1:2",
  "1.2.3.4.5.6.999",
  "1.2.3.999",
  "a b",
  "a/b",
  "a?b",
  "a#b",
  "a\\b",
  "a,b",
  "exämple",
  "*",
  "a\u0000",
])("%j is no host", (authority) => {
  expect(isAuthority(authority)).toBe(false);
});
