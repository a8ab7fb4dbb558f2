import { callUnaryMethod } from "@connectrpc/connect-query";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  FlowExecutionService,
  ReExecuteFlowExecutionRequest_Scope as Scope,
} from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { Modal } from "../dialog/modal.tsx";
import { ModalActions } from "../dialog/modal-actions.tsx";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { useCall } from "../rpc/use-call.ts";
import { useAccount } from "../session/account.tsx";
import { toStatus } from "../status/status.ts";
import "./re-execute-dialog.css";

const method = FlowExecutionService.method.reExecuteFlowExecution;

interface ReExecuteDialogProps {
  readonly run: FlowExecution;
  /** The task to begin with. Without one it is a question of what to run. */
  readonly fromTask?: string;
  readonly onClose: () => void;
}

const scopes = [
  { scope: Scope.FAILED, text: "What failed or was cancelled, and what has not run because of it" },
  { scope: Scope.STALE, text: "What is out of date" },
  { scope: Scope.ALL, text: "Everything" },
] as const;

/** Asks which tasks of a run to run once more, and says beforehand which those are. */
export function ReExecuteDialog({ run: { id, status }, fromTask = "", onClose }: ReExecuteDialogProps) {
  const { transport } = useAccount();
  const [scope, setScope] = useState<Scope>(() => firstScope(fromTask, status));
  const [requestId] = useState(() => crypto.randomUUID());
  const [error, setError] = useState<unknown>();
  const call = useCall(method);
  const request = { id, scope, taskName: fromTask, requestId };
  const preview = useQuery({
    queryKey: ["re-execute", id, scope, fromTask],
    queryFn: ({ signal }) =>
      callUnaryMethod(transport, method, { ...request, validateOnly: true }, { signal }),
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  const names = preview.data?.taskNames ?? [];

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    try {
      await call(request);
      onClose();
    } catch (thrown) {
      setError(thrown);
    }
  }

  return (
    <Modal title={fromTask === "" ? "Run again" : `Run again from ${fromTask}`} onClose={onClose}>
      <form onSubmit={submit}>
        {fromTask === "" && (
          <fieldset className="choices">
            <legend className="visually-hidden">What to run again</legend>
            {scopes.map((each) => (
              <label key={each.scope}>
                <input
                  type="radio"
                  name="scope"
                  checked={scope === each.scope}
                  onChange={() => setScope(each.scope)}
                />
                {each.text}
              </label>
            ))}
          </fieldset>
        )}
        <p className="muted" role="status">
          {preview.isPending
            ? "Looking what would run…"
            : names.length === 0
              ? "Nothing would run."
              : "Would run, in this order:"}
        </p>
        <ol className="task-names">
          {names.map((name) => (
            <li key={name}>{name}</li>
          ))}
        </ol>
        {(error ?? preview.error) !== null && (error ?? preview.error) !== undefined && (
          <ProblemNote error={error ?? preview.error} />
        )}
        <p className="muted small">Each gets a new record. The ones there are stay as they are.</p>
        <ModalActions onClose={onClose}>
          <button type="submit" className="button primary" disabled={names.length === 0}>
            Run {names.length === 1 ? "1 task" : `${names.length} tasks`}
          </button>
        </ModalActions>
      </form>
    </Modal>
  );
}

function firstScope(fromTask: string, status: number): Scope {
  if (fromTask !== "") {
    return Scope.FROM_TASK;
  }
  switch (toStatus(status)) {
    case "stale":
      return Scope.STALE;
    case "completed":
      return Scope.ALL;
    default:
      return Scope.FAILED;
  }
}
