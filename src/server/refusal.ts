import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { LedgerError } from "../errors.ts";
import { malformed } from "./framework-error.ts";
import type { NodeRequest } from "./node-http.ts";
import { cut } from "./text.ts";

/** The headers that hold a credential. Given twice, Node would silently drop the second. */
const credentialHeaders = ["authorization", "x-api-key"];

/** Returns the name of a credential header that stands in the request more than once. */
export function findDuplicateCredential({ rawHeaders }: NodeRequest): string | undefined {
  return credentialHeaders.find((header) => {
    let times = 0;
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const name = rawHeaders[index]!;
      if (name.length === header.length && name.toLowerCase() === header) times++;
    }
    return times > 1;
  });
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
