import { keyFileIn } from "./client/bootstrap-key.ts";
import type { Config } from "./config.ts";
import type { Service } from "./service.ts";

/** Returns what to tell whoever started the service: where it is, the first key, and commands to paste. */
export function welcome(
  {
    host,
    tls,
    databaseUrl,
    bootstrapKey,
    dataDir,
  }: Pick<Config, "host" | "tls" | "databaseUrl" | "bootstrapKey" | "dataDir">,
  { address, secret }: Pick<Service, "address" | "secret">,
): string {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${address.port}`;
  const url = `${tls ? "https" : "http"}://${authority}`;
  const lines = [`Taskledger serves on ${url} (gRPC, gRPC-Web, Connect; in a browser the console).`];
  if (secret !== undefined) {
    lines.push("", "The administrator's key of the organization `default`, shown only now:", `  ${secret}`);
  }
  const key = secret ?? "$TASKLEDGER_KEY";
  const method = "taskledger.v1.OrganizationService/GetOrganization";
  const isKept = databaseUrl === undefined && bootstrapKey === undefined;
  lines.push("", secret !== undefined || isKept ? "Try it:" : "Try it, with your key in TASKLEDGER_KEY:");
  if (secret === undefined && isKept) {
    lines.push(`  export TASKLEDGER_KEY=$(cat ${quote(keyFileIn(dataDir))})`);
  }
  lines.push(
    `  grpcurl ${tls ? "" : "-plaintext "}-H "Authorization: Bearer ${key}" ${authority} ${method}`,
    `  npx buf curl ${tls ? "" : "--http2-prior-knowledge "}--protocol grpc -H "Authorization: Bearer ${key}" ${url}/${method}`,
    `  curl -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" -d '{}' ${url}/${method}`,
    "",
  );
  return `${lines.join("\n")}\n`;
}

/** Quotes a text for a shell, whatever is in it. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
