import { create, fromJson, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { callUnaryMethod } from "@connectrpc/connect-query";
import { type FormEvent, useId, useState } from "react";
import { TaskErrorSchema, type TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskExecutionService,
  type UpdateTaskExecutionRequestSchema,
} from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { Modal } from "../dialog/modal.tsx";
import { ModalActions } from "../dialog/modal-actions.tsx";
import { ReasonField } from "../dialog/reason-field.tsx";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { useCall } from "../rpc/use-call.ts";
import { useAccount } from "../session/account.tsx";
import type { AmendableField } from "./amendable.ts";
import { Outdated } from "./outdated.tsx";

const method = TaskExecutionService.method.updateTaskExecution;

type Request = MessageInitShape<typeof UpdateTaskExecutionRequestSchema>;

interface AmendDialogProps {
  readonly task: TaskExecution;
  readonly field: AmendableField;
  readonly isManaged: boolean;
  readonly onClose: () => void;
}

/** Amends a payload: first the new content, then what becomes stale because of it, then the change. */
export function AmendDialog({ task, field, isManaged, onClose }: AmendDialogProps) {
  const { transport } = useAccount();
  const [text, setText] = useState(() => textOf(task, field));
  const [reason, setReason] = useState("");
  const [executes, setExecutes] = useState(isManaged);
  const [outdated, setOutdated] = useState<readonly TaskExecution[]>();
  const [problem, setProblem] = useState<unknown>();
  const amend = useCall(method);
  const contentId = useId();

  function request(): Request {
    const { id, etag } = task;
    const executeFlow = executes && isManaged && field === "output";
    return { id, etag, updateMask: { paths: [field] }, reason, executeFlow, ...contentOf(field, text) };
  }

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    try {
      if (outdated === undefined) {
        const preview = await callUnaryMethod(transport, method, { ...request(), validateOnly: true });
        setOutdated(preview.outdated);
        setProblem(undefined);
      } else {
        await amend(request());
        onClose();
      }
    } catch (thrown) {
      setProblem(thrown);
    }
  }

  return (
    <Modal title={`Amend the ${field} of ${task.taskName} #${task.taskExecutionIdx}`} onClose={onClose}>
      <form onSubmit={submit}>
        <div className="field">
          <label htmlFor={contentId}>New {field}, as JSON</label>
          <textarea
            id={contentId}
            className="mono amend-text"
            rows={12}
            spellCheck={false}
            value={text}
            onChange={({ target }) => {
              setText(target.value);
              setOutdated(undefined);
            }}
          />
        </div>
        <ReasonField reason={reason} onChange={setReason} />
        {problem !== undefined &&
          (problem instanceof SyntaxError ? (
            <p className="form-problem" role="alert">
              This is not JSON: {problem.message}
            </p>
          ) : (
            <ProblemNote error={problem} />
          ))}
        {outdated !== undefined && <Outdated tasks={outdated} />}
        {outdated !== undefined && outdated.length > 0 && isManaged && (
          <label className="choice">
            <input
              type="checkbox"
              checked={executes}
              onChange={({ target }) => setExecutes(target.checked)}
            />
            Run again at once what becomes stale
          </label>
        )}
        <ModalActions onClose={onClose}>
          <button type="submit" className="button primary">
            {outdated === undefined ? "Preview" : "Amend"}
          </button>
        </ModalActions>
      </form>
    </Modal>
  );
}

function textOf({ input, output, error }: TaskExecution, field: AmendableField): string {
  if (field === "error") {
    return JSON.stringify(toJson(TaskErrorSchema, error ?? create(TaskErrorSchema)), null, 2);
  }
  const value = field === "input" ? input : output;
  return value === undefined ? "" : JSON.stringify(toJson(ValueSchema, value), null, 2);
}

/** @throws SyntaxError if the text is no JSON */
function contentOf(field: AmendableField, text: string): Partial<Pick<TaskExecution, AmendableField>> {
  if (text.trim() === "") {
    return {};
  }
  const json: JsonValue = JSON.parse(text);
  return field === "error"
    ? { error: fromJson(TaskErrorSchema, json) }
    : { [field]: fromJson(ValueSchema, json) };
}
