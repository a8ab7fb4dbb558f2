import { useState } from "react";
import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecution_Dispatch as Dispatch } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { ConfirmDialog } from "../dialog/confirm-dialog.tsx";
import { GrpcurlButton } from "../rpc/grpcurl-button.tsx";
import { useCall } from "../rpc/use-call.ts";
import { mayEdit, useAccount } from "../session/account.tsx";
import { isOpen, toStatus } from "../status/status.ts";
import { ReExecuteDialog } from "./re-execute-dialog.tsx";

type Asked = "cancel" | "delete" | "re-execute" | undefined;

/** What can be done with a run, as far as the role may. */
export function RunActions({ run }: { run: FlowExecution }) {
  const { role } = useAccount();
  const [asked, setAsked] = useState<Asked>();
  const cancel = useCall(FlowExecutionService.method.cancelFlowExecution);
  const remove = useCall(FlowExecutionService.method.deleteFlowExecution);
  const undelete = useCall(FlowExecutionService.method.undeleteFlowExecution);
  const status = toStatus(run.status);
  const { id, etag } = run;
  const close = () => setAsked(undefined);
  return (
    <div className="actions">
      <GrpcurlButton method={FlowExecutionService.method.getFlowExecution} request={{ id }} />
      {mayEdit(role) && isOpen(status) && (
        <button type="button" className="button" onClick={() => setAsked("cancel")}>
          Cancel
        </button>
      )}
      {mayEdit(role) && run.dispatch === Dispatch.MANAGED && status !== "deleted" && !isOpen(status) && (
        <button type="button" className="button" onClick={() => setAsked("re-execute")}>
          Run again
        </button>
      )}
      {mayEdit(role) && status !== "deleted" && (
        <button type="button" className="button danger" onClick={() => setAsked("delete")}>
          Delete
        </button>
      )}
      {mayEdit(role) && status === "deleted" && (
        <button type="button" className="button" onClick={() => void undelete({ id })}>
          Undelete
        </button>
      )}
      {asked === "cancel" && (
        <ConfirmDialog
          title="Cancel this run?"
          text="What waits is cancelled at once; what a worker holds ends when the worker has stopped."
          action="Cancel the run"
          isDangerous
          onConfirm={(reason) => cancel({ id, reason })}
          onClose={close}
        />
      )}
      {asked === "delete" && (
        <ConfirmDialog
          title="Delete this run?"
          text="It and its task executions are hidden from lists. Nothing is erased; it can be undeleted."
          action="Delete the run"
          isDangerous
          onConfirm={(reason) => remove({ id, etag, reason })}
          onClose={close}
        />
      )}
      {asked === "re-execute" && <ReExecuteDialog run={run} onClose={close} />}
    </div>
  );
}
