import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useId, useState } from "react";
import { FlowExecution_Dispatch as Dispatch } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { Flow } from "../../../gen/taskledger/v1/flow_pb.ts";
import { Modal } from "../dialog/modal.tsx";
import { ModalActions } from "../dialog/modal-actions.tsx";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { useCall } from "../rpc/use-call.ts";
import { fieldsOf, initialValue, inputOf } from "./input-fields.ts";
import { InputForm } from "./input-form.tsx";

interface StartDialogProps {
  readonly flow: Flow;
  readonly onClose: () => void;
}

/** Starts a run: asks for the input by a form that the flow's schema gives, or as JSON if it gives none. */
export function StartDialog({ flow, onClose }: StartDialogProps) {
  const schema = flow.inputSchema && toJson(ValueSchema, flow.inputSchema);
  const fields = fieldsOf(schema);
  const [values, setValues] = useState(() => initialValue(fields ?? []));
  const [text, setText] = useState("");
  const [asJson, setAsJson] = useState(fields === undefined);
  const [isExternal, setExternal] = useState(false);
  const [error, setError] = useState<unknown>();
  const [requestId] = useState(() => crypto.randomUUID());
  const start = useCall(FlowExecutionService.method.createFlowExecution);
  const navigate = useNavigate();
  const textId = useId();

  function switchToJson(): void {
    setText(JSON.stringify(inputOf(fields ?? [], values), null, 2));
    setAsJson(true);
  }

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    try {
      const input = readInput();
      const { flowExecution } = await start({
        flowId: flow.id,
        flowVersion: flow.version,
        requestId,
        dispatch: isExternal ? Dispatch.EXTERNAL : Dispatch.MANAGED,
        ...(input !== undefined && { input: fromJson(ValueSchema, input) }),
      });
      await navigate({ to: "/runs/$runId", params: { runId: flowExecution!.id } });
    } catch (thrown) {
      setError(thrown);
    }
  }

  /** @throws SyntaxError if the text is no JSON */
  function readInput(): JsonValue | undefined {
    if (!asJson) {
      return inputOf(fields ?? [], values);
    }
    return text.trim() === "" ? undefined : JSON.parse(text);
  }

  return (
    <Modal title={`Start a run of ${flow.name} v${flow.version}`} onClose={onClose}>
      <form onSubmit={submit}>
        {asJson ? (
          <div className="field">
            <label htmlFor={textId}>Input, as JSON</label>
            <textarea
              id={textId}
              className="mono"
              rows={8}
              spellCheck={false}
              placeholder="Leave empty for a run without input."
              value={text}
              onChange={({ target }) => setText(target.value)}
            />
          </div>
        ) : (
          <InputForm fields={fields ?? []} values={values} onChange={setValues} />
        )}
        {!asJson && (
          <button type="button" className="button small as-json" onClick={switchToJson}>
            Edit as JSON
          </button>
        )}
        <label className="choice">
          <input
            type="checkbox"
            checked={isExternal}
            onChange={({ target }) => setExternal(target.checked)}
          />
          An outside engine runs the tasks and only records them here
        </label>
        {error instanceof SyntaxError ? (
          <p className="form-problem" role="alert">
            This is not JSON: {error.message}
          </p>
        ) : (
          error !== undefined && <ProblemNote error={error} />
        )}
        <ModalActions onClose={onClose}>
          <button type="submit" className="button primary">
            Start
          </button>
        </ModalActions>
      </form>
    </Modal>
  );
}
