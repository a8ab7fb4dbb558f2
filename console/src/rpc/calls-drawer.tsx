import { useRef } from "react";
import { useAccount } from "../session/account.tsx";
import { type Call, useCalls } from "./call-log.ts";
import { CopyButton } from "./copy-button.tsx";
import { toGrpcurl } from "./grpcurl.ts";
import "./calls-drawer.css";

/** The button that opens the list of the last calls, each to copy as a command of grpcurl. */
export function CallsDrawer() {
  const dialog = useRef<HTMLDialogElement>(null);
  const calls = useCalls(useAccount().callLog);
  return (
    <>
      <button type="button" className="button quiet" onClick={() => dialog.current?.showModal()}>
        Calls
      </button>
      <dialog ref={dialog} className="drawer" aria-labelledby="calls-title">
        <header className="drawer-head">
          <h2 id="calls-title">Last calls</h2>
          <button type="button" className="button small" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </header>
        <p className="muted small">
          What this page asked of the service, newest first. The commands take the key from{" "}
          <code>$TASKLEDGER_KEY</code>.
        </p>
        <ol className="calls">
          {calls.map((call) => (
            <CallItem key={call.number} call={call} />
          ))}
        </ol>
      </dialog>
    </>
  );
}

function CallItem({ call }: { call: Call }) {
  const { method, request, code, durationMs } = call;
  return (
    <li>
      <div className="call-head">
        <span className="call-name">
          {method.parent.name}/<strong>{method.name}</strong>
        </span>
        <span className={code === undefined || code === "ok" ? "muted small" : "call-failed small"}>
          {code === undefined ? "open" : `${code} · ${Math.round(durationMs ?? 0)} ms`}
        </span>
        <CopyButton text={() => toGrpcurl(method, request)} label="Copy as grpcurl" />
      </div>
      {request !== "{}" && <code className="call-request">{request}</code>}
    </li>
  );
}
