import { TransportProvider, useQuery } from "@connectrpc/connect-query";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { OrganizationService } from "../../../gen/taskledger/v1/organization_service_pb.ts";
import { CallLog } from "../rpc/call-log.ts";
import { toProblem } from "../rpc/problem.ts";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { createTransport } from "../rpc/transport.ts";
import { AccountProvider, mayRead, toAccount } from "./account.tsx";
import { type Session, signOut, useSession } from "./session.ts";
import { SignInPage } from "./sign-in-page.tsx";

/**
 * Shows what is inside to whoever is signed in, and the page to sign in to others.
 *
 * Everything that was loaded lives below the key of the session: with another credential all of it goes at
 * once, so that nothing of one organization is ever seen in the next.
 */
export function SessionGate({ children }: { children: ReactNode }) {
  const session = useSession();
  return session === undefined ? (
    <SignInPage />
  ) : (
    <SessionScope key={session.number} session={session}>
      {children}
    </SessionScope>
  );
}

function SessionScope({ session, children }: { session: Session; children: ReactNode }) {
  const [{ callLog, transport, client }] = useState(() => {
    const callLog = new CallLog();
    return { callLog, transport: createTransport(session, callLog), client: createClient() };
  });
  useEffect(
    () => () => {
      client.clear();
    },
    [client],
  );
  return (
    <TransportProvider transport={transport}>
      <QueryClientProvider client={client}>
        <WithAccount callLog={callLog} transport={transport}>
          {children}
        </WithAccount>
      </QueryClientProvider>
    </TransportProvider>
  );
}

function createClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // Only an outage passes by itself.
        retry: (failures, error) => toProblem(error).isOutage && failures < 30,
        retryDelay: (attempt) => Math.min(500 * 2 ** attempt, 5000),
        staleTime: 10_000,
        refetchOnWindowFocus: false,
        // A service on this machine answers although the machine is offline.
        networkMode: "always",
      },
      mutations: { networkMode: "always" },
    },
  });
}

interface WithAccountProps {
  readonly callLog: CallLog;
  readonly transport: ReturnType<typeof createTransport>;
  readonly children: ReactNode;
}

function WithAccount({ callLog, transport, children }: WithAccountProps) {
  const { data, error, failureCount } = useQuery(
    OrganizationService.method.getOrganization,
    {},
    { staleTime: Infinity },
  );
  if (data !== undefined && mayRead(data.role)) {
    return <AccountProvider account={toAccount(data, transport, callLog)}>{children}</AccountProvider>;
  }
  return (
    <main className="gate">
      {data !== undefined ? (
        <div className="empty">
          <h1>This key reads nothing</h1>
          <p>It is a worker's key: it can claim and report, and may not look. Sign in with another one.</p>
        </div>
      ) : error !== null ? (
        <ProblemNote error={error} />
      ) : (
        <p role="status">{failureCount > 1 ? "Waiting for the service…" : "Signing in…"}</p>
      )}
      {(data !== undefined || error !== null || failureCount > 1) && (
        <button type="button" className="button" onClick={signOut}>
          Sign in with another key
        </button>
      )}
    </main>
  );
}
