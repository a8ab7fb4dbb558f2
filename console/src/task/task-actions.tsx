import { useState } from "react";
import {
  FlowExecution_Dispatch as Dispatch,
  type FlowExecution,
} from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { ConfirmDialog } from "../dialog/confirm-dialog.tsx";
import { GrpcurlButton } from "../rpc/grpcurl-button.tsx";
import { useCall } from "../rpc/use-call.ts";
import { ReExecuteDialog } from "../run/re-execute-dialog.tsx";
import { mayEdit, useAccount } from "../session/account.tsx";
import { isOpen, toStatus } from "../status/status.ts";
import { AmendDialog } from "./amend-dialog.tsx";
import { amendable } from "./amendable.ts";
import { useHasLateResult } from "./late-result.ts";

type Asked = "adopt" | "amend" | "cancel" | "delete" | "retry" | undefined;

interface TaskActionsProps {
  readonly task: TaskExecution;
  /** Undefined until it is there. */
  readonly run: FlowExecution | undefined;
}

/** What can be done with a task execution, as far as its status and the role allow. */
export function TaskActions({ task, run }: TaskActionsProps) {
  const { role } = useAccount();
  const [asked, setAsked] = useState<Asked>();
  const cancel = useCall(TaskExecutionService.method.cancelTaskExecution);
  const remove = useCall(TaskExecutionService.method.deleteTaskExecution);
  const undelete = useCall(TaskExecutionService.method.undeleteTaskExecution);
  const adopt = useCall(TaskExecutionService.method.adoptLateResult);
  const hasLateResult = useHasLateResult(task);
  const { id, etag } = task;
  const status = toStatus(task.status);
  const isManaged = run?.dispatch === Dispatch.MANAGED;
  const field = amendable(status);
  const close = () => setAsked(undefined);
  const edit = mayEdit(role) && status !== "deleted";
  return (
    <div className="actions">
      <GrpcurlButton
        method={TaskExecutionService.method.getTaskExecution}
        request={{ lookup: { case: "id", value: id } }}
      />
      {edit && field !== undefined && (
        <button type="button" className="button" onClick={() => setAsked("amend")}>
          Amend {field}
        </button>
      )}
      {edit && isManaged && !isOpen(status) && (
        <button type="button" className="button" onClick={() => setAsked("retry")}>
          {status === "failed" || status === "cancelled" ? "Retry" : "Run again"}
        </button>
      )}
      {edit && hasLateResult && (
        <button type="button" className="button" onClick={() => setAsked("adopt")}>
          Adopt late result
        </button>
      )}
      {edit && isOpen(status) && (
        <button type="button" className="button" onClick={() => setAsked("cancel")}>
          Cancel
        </button>
      )}
      {edit && (
        <button type="button" className="button danger" onClick={() => setAsked("delete")}>
          Delete
        </button>
      )}
      {mayEdit(role) && status === "deleted" && (
        <button type="button" className="button" onClick={() => void undelete({ id })}>
          Undelete
        </button>
      )}
      {asked === "amend" && field !== undefined && (
        <AmendDialog task={task} field={field} isManaged={isManaged} onClose={close} />
      )}
      {asked === "retry" && run !== undefined && (
        <ReExecuteDialog run={run} fromTask={task.taskName} onClose={close} />
      )}
      {asked === "adopt" && (
        <ConfirmDialog
          title={`Adopt the late result of ${task.taskName} #${task.taskExecutionIdx}?`}
          text="A new record gets the output that its worker handed in too late, and counts as completed. Attempts that have not ended are cancelled."
          action="Adopt it"
          onConfirm={(reason) => adopt({ id, reason })}
          onClose={close}
        />
      )}
      {asked === "cancel" && (
        <ConfirmDialog
          title={`Cancel ${task.taskName}?`}
          text="If a worker holds it, the worker is asked to stop, and it ends when the worker has."
          action="Cancel it"
          isDangerous
          onConfirm={(reason) => cancel({ id, reason })}
          onClose={close}
        />
      )}
      {asked === "delete" && (
        <ConfirmDialog
          title={`Delete ${task.taskName} #${task.taskExecutionIdx}?`}
          text="It is hidden from lists, claims and templates. Nothing is erased; it can be undeleted."
          action="Delete it"
          isDangerous
          onConfirm={(reason) => remove({ id, etag, reason })}
          onClose={close}
        />
      )}
    </div>
  );
}
