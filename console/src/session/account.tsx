import type { Transport } from "@connectrpc/connect";
import { createContext, type ReactNode, use } from "react";
import { ApiKey_Role as Role } from "../../../gen/taskledger/v1/api_key_pb.ts";
import type { GetOrganizationResponse } from "../../../gen/taskledger/v1/organization_service_pb.ts";
import type { CallLog } from "../rpc/call-log.ts";

/** Who is signed in, what they may do, and how to call on their behalf. */
export interface Account {
  readonly organizationName: string;
  readonly organizationId: string;
  /** The name of the key, or the subject of the token. */
  readonly subject: string;
  readonly role: Role;
  readonly callLog: CallLog;
  readonly transport: Transport;
}

const AccountContext = createContext<Account | undefined>(undefined);

/** Makes an account known to what is inside. */
export function AccountProvider({ account, children }: { account: Account; children: ReactNode }) {
  return <AccountContext value={account}>{children}</AccountContext>;
}

/** Returns who is signed in. */
export function useAccount(): Account {
  const account = use(AccountContext);
  if (account === undefined) {
    throw new Error("nobody is signed in here");
  }
  return account;
}

/** Returns the account that the service described. */
export function toAccount(
  { organization, subject, keyName, role }: GetOrganizationResponse,
  transport: Transport,
  callLog: CallLog,
): Account {
  return {
    organizationName: organization?.name ?? "",
    organizationId: organization?.id ?? "",
    subject: keyName || subject,
    role,
    transport,
    callLog,
  };
}

const names: Readonly<Record<number, string>> = {
  [Role.VIEWER]: "viewer",
  [Role.WORKER]: "worker",
  [Role.EDITOR]: "editor",
  [Role.ADMIN]: "admin",
  [Role.PLATFORM_ADMIN]: "platform admin",
};

/** Returns the name of a role. */
export function roleName(role: Role): string {
  return names[role] ?? `role ${role}`;
}

/** Says whether a role may read: a worker's may not. */
export function mayRead(role: Role): boolean {
  return role !== Role.WORKER;
}

/** Says whether a role may amend, cancel, delete and start. The service has the last word. */
export function mayEdit(role: Role): boolean {
  return role === Role.EDITOR || role === Role.ADMIN || role === Role.PLATFORM_ADMIN;
}
