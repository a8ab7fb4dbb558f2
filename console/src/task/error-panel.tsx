import type { TaskError } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { CopyButton } from "../rpc/copy-button.tsx";

/** Why a task failed: its kind, its message, and where it went wrong. */
export function ErrorPanel({ error: { type, message, traceback } }: { error: TaskError }) {
  return (
    <section className="error-panel card" aria-label="Error">
      <header>
        <h2>{type || "Error"}</h2>
        <CopyButton text={[type, message, traceback].filter(Boolean).join("\n")} />
      </header>
      <p className="error-message">{message || "Without a message."}</p>
      {traceback !== "" && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard
        <section className="traceback" tabIndex={0} aria-label="Traceback">
          <pre>{traceback}</pre>
        </section>
      )}
    </section>
  );
}
