import type { DescMethod } from "@bufbuild/protobuf";

/**
 * Returns the command that makes a call, to paste into a shell.
 *
 * It names the variable of the key and never the key: commands end up in chats and histories.
 */
export function toGrpcurl(method: DescMethod, request: string, at: Location | URL = location): string {
  const port = at.port || (at.protocol === "https:" ? "443" : "80");
  return [
    "grpcurl",
    ...(at.protocol === "https:" ? [] : ["-plaintext"]),
    `-H "Authorization: Bearer $TASKLEDGER_KEY"`,
    ...(request === "{}" ? [] : [`-d ${quote(request)}`]),
    `${at.hostname}:${port}`,
    `${method.parent.typeName}/${method.name}`,
  ].join(" ");
}

/** Quotes a text for a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
