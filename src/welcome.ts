import type { Config } from "./config.ts";
import type { Service } from "./service.ts";

/** Returns what to tell whoever started the service: where it is, the first key, and commands to paste. */
export function welcome({ host, tls }: Config, { address, secret }: Service): string {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${address.port}`;
  const url = `${tls ? "https" : "http"}://${authority}`;
  const lines = [`Taskledger serves on ${url} (gRPC, gRPC-Web, Connect; in a browser the console).`];
  if (secret !== undefined) {
    lines.push("", "The administrator's key of the organization `default`, shown only now:", `  ${secret}`);
  }
  const key = secret ?? "$TASKLEDGER_KEY";
  const method = "taskledger.v1.OrganizationService/GetOrganization";
  lines.push(
    "",
    "Try it:",
    `  grpcurl ${tls ? "" : "-plaintext "}-H "Authorization: Bearer ${key}" ${authority} ${method}`,
    `  npx buf curl ${tls ? "" : "--http2-prior-knowledge "}--protocol grpc -H "Authorization: Bearer ${key}" ${url}/${method}`,
    `  curl -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" -d '{}' ${url}/${method}`,
    "",
  );
  return `${lines.join("\n")}\n`;
}
