import { createContextKey } from "@connectrpc/connect";

/** The three protocols in which a call may arrive. */
export type Protocol = "grpc" | "grpc-web" | "connect";

/** The protocol of a call, if whoever took it told. */
export const protocolKey = createContextKey<Protocol | undefined>(undefined, { description: "protocol" });

/** Tells the protocol of a request or a response by its content type. */
export function protocolOf(contentType: string | null | undefined): Protocol {
  const type = contentType?.toLowerCase() ?? "";
  if (type.startsWith("application/grpc-web")) {
    return "grpc-web";
  }
  return type.startsWith("application/grpc") ? "grpc" : "connect";
}

/** Reports whether a content type is that of a Connect stream, whose errors stand in its last envelope. */
export function isConnectStream(contentType: string | null | undefined): boolean {
  return /^application\/connect\+/i.test(contentType ?? "");
}
