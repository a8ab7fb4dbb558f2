import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

/** An issuer of JWTs on this machine. */
export interface Issuer extends Disposable {
  /** What the service has to be told to trust it. */
  readonly env: Readonly<Record<string, string>>;
  /** Issues a token that is valid for an hour. */
  issue(subject: string, organizationId: string, role: string): Promise<string>;
}

const issuer = "https://issuer.example";

/** Starts an issuer. */
export async function startIssuer(): Promise<Issuer> {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  const keys = [{ ...(await exportJWK(publicKey)), kid: "one", alg: "RS256" }];
  const server = createServer((_, response) => {
    response.setHeader("content-type", "application/json").end(JSON.stringify({ keys }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    env: { JWT_ISSUER: issuer, JWT_AUDIENCE: "taskledger", JWT_JWKS_URL: `http://127.0.0.1:${port}/jwks` },
    issue: (subject, organizationId, role) =>
      new SignJWT({ organization_id: organizationId, role })
        .setProtectedHeader({ alg: "RS256", kid: "one" })
        .setIssuer(issuer)
        .setAudience("taskledger")
        .setSubject(subject)
        .setIssuedAt()
        .setExpirationTime("1h")
        .sign(privateKey),
    [Symbol.dispose]: () => void server.close(),
  };
}
