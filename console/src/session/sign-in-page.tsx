import { type FormEvent, useState } from "react";
import { Mark } from "../shell/mark.tsx";
import { readClaims } from "./jwt.ts";
import { signIn, useEndOfSession } from "./session.ts";
import "./sign-in.css";

/** Asks for a key or a token. What it is good for is found out by the first call. */
export function SignInPage() {
  const reason = useEndOfSession();
  const [credential, setCredential] = useState("");
  const [problem, setProblem] = useState(reason);
  const claims = readClaims(credential.trim());

  function submit(event: FormEvent): void {
    event.preventDefault();
    const given = credential.trim().replace(/^Bearer\s+/i, "");
    // What a header cannot hold would fail with words that help nobody.
    if (!/^[\x21-\x7e]+$/.test(given)) {
      setProblem(given === "" ? "Paste a key or a token first." : "This is neither a key nor a token.");
      return;
    }
    signIn(given);
  }

  return (
    <main className="sign-in">
      <form onSubmit={submit} className="sign-in-card" noValidate>
        <Mark />
        <h1>Sign in</h1>
        <p className="muted">With an API key of your organization, or a JWT of its issuer.</p>
        <label htmlFor="credential">Key or token</label>
        <input
          id="credential"
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={credential}
          aria-describedby="credential-note"
          aria-invalid={problem !== ""}
          onChange={(event) => {
            setCredential(event.target.value);
            setProblem("");
          }}
        />
        <p id="credential-note" className={problem === "" ? "muted small" : "form-problem"} role="status">
          {problem || describe(claims) || "Kept in this tab only, and forgotten when it closes."}
        </p>
        <button type="submit" className="button primary">
          Sign in
        </button>
      </form>
    </main>
  );
}

function describe(claims: ReturnType<typeof readClaims>): string {
  if (claims === undefined) {
    return "";
  }
  const until =
    claims.exp === undefined ? "" : `, valid until ${new Date(claims.exp * 1000).toLocaleString()}`;
  return `A JWT of ${claims.sub ?? "somebody"}${until}.`;
}
