import { useId } from "react";

interface ReasonFieldProps {
  readonly reason: string;
  readonly onChange: (reason: string) => void;
}

/** Asks why. */
export function ReasonField({ reason, onChange }: ReasonFieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>Reason, for the audit trail</label>
      <input id={id} value={reason} maxLength={1024} onChange={({ target }) => onChange(target.value)} />
    </div>
  );
}
