import { type FormEvent, useId, useState } from "react";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { Modal } from "./modal.tsx";

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
  const reasonId = useId();

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
        {takesReason && (
          <div className="field">
            <label htmlFor={reasonId}>Reason, for the audit trail</label>
            <input
              id={reasonId}
              value={reason}
              maxLength={1024}
              onChange={({ target }) => setReason(target.value)}
            />
          </div>
        )}
        {error !== undefined && <ProblemNote error={error} />}
        <div className="modal-actions">
          <button type="button" className="button" onClick={onClose}>
            Leave it
          </button>
          <button
            type="submit"
            className={`button ${isDangerous ? "danger" : "primary"}`}
            disabled={isPending}
          >
            {action}
          </button>
        </div>
      </form>
    </Modal>
  );
}
