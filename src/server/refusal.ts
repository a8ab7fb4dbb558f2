import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { LedgerError } from "../errors.ts";
import { malformed } from "./framework-error.ts";
import type { NodeRequest } from "./node-http.ts";
import { cut } from "./text.ts";

/** The headers that hold a credential. Given twice, Node would silently drop the second. */
const credentialHeaders = ["authorization", "x-api-key"];

/** Returns the name of a credential header that stands in the request more than once. */
export function findDuplicateCredential({ rawHeaders }: NodeRequest): string | undefined {
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  return credentialHeaders.find((header) => names.indexOf(header) !== names.lastIndexOf(header));
}

/** Puts into words the HTTP status with which Connect refuses what is no call of the method. */
export function fromHttpStatus(status: number, rpc: UniversalHandler, request: NodeRequest): LedgerError {
  switch (status) {
    case 405:
      return malformed(
        `${request.method} is not allowed for ${rpc.method.name}; use ${rpc.allowedMethods.join(" or ")}`,
      );
    case 505:
      return malformed(`${rpc.method.name} streams both ways, which needs HTTP/2`);
    default: {
      const isUnary = rpc.method.methodKind === "unary";
      const known = isUnary ? "application/json" : "application/connect+json";
      const type = cut(request.headers["content-type"] ?? "", 100);
      return malformed(
        `the content type "${type}" is not known; send ${known}, or a type of gRPC, gRPC-Web or Connect`,
      );
    }
  }
}
