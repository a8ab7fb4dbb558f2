import type { ReactNode } from "react";

/** The end of a dialog: leave it, or the button that does what it is about. */
export function ModalActions({ onClose, children }: { onClose: () => void; children: ReactNode }) {
  return (
    <div className="modal-actions">
      <button type="button" className="button" onClick={onClose}>
        Leave it
      </button>
      {children}
    </div>
  );
}
