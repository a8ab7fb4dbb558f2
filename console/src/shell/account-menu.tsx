import { roleName, useAccount } from "../session/account.tsx";
import { signOut } from "../session/session.ts";

/** Says whose data are shown and as whom, and lets one leave. */
export function AccountMenu() {
  const { organizationName, organizationId, subject, role } = useAccount();
  return (
    <details className="account">
      <summary className="button quiet">
        <span className="account-text">
          <span className="account-name">{organizationName}</span>
          <span className="account-role">{roleName(role)}</span>
        </span>
      </summary>
      <div className="account-menu card">
        <dl>
          <dt>Organization</dt>
          <dd>{organizationName}</dd>
          <dd className="mono muted">{organizationId}</dd>
          <dt>Signed in as</dt>
          <dd>
            {subject}, {roleName(role)}
          </dd>
        </dl>
        <button type="button" className="button" onClick={signOut}>
          Sign out
        </button>
      </div>
    </details>
  );
}
