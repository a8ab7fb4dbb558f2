import { type FormEvent, useState } from "react";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { Modal } from "./modal.tsx";
import { ModalActions } from "./modal-actions.tsx";
import { ReasonField } from "./reason-field.tsx";

interface ConfirmDialogProps {
  readonly title: string;
  /** What will happen. */
  readonly text: string;
  readonly action: string;
  readonly isDangerous?: boolean;
  /** Whether the audit trail takes a reason. */
  readonly takesReason?: boolean;
  /** Does it; rejects if that failed. */
  readonly onConfirm: (reason: string) => Promise<unknown>;
  readonly onClose: () => void;
}

/** Asks before something is done, and why. */
export function ConfirmDialog({
  title,
  text,
  action,
  isDangerous = false,
  takesReason = true,
  onConfirm,
  onClose,
}: ConfirmDialogProps) {
  const [reason, setReason] = useState("");
  const [error, setError] = useState<unknown>();
  const [isPending, setPending] = useState(false);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setPending(true);
    try {
      await onConfirm(reason);
      onClose();
    } catch (thrown) {
      setError(thrown);
      setPending(false);
    }
  }

  return (
    <Modal title={title} onClose={onClose}>
      <form onSubmit={submit}>
        <p className="muted">{text}</p>
        {takesReason && <ReasonField reason={reason} onChange={setReason} />}
        {error !== undefined && <ProblemNote error={error} />}
        <ModalActions onClose={onClose}>
          <button
            type="submit"
            className={`button ${isDangerous ? "danger" : "primary"}`}
            disabled={isPending}
          >
            {action}
          </button>
        </ModalActions>
      </form>
    </Modal>
  );
}
