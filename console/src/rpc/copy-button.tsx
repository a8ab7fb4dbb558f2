import { useEffect, useState } from "react";

/** Copies a text, and says that it did. */
export function CopyButton({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (said !== "") {
      const timer = setTimeout(setSaid, 1600, "");
      return () => clearTimeout(timer);
    }
    return undefined;
  }, [said]);
  const copy = async () => {
    const copied = await copyText(typeof text === "string" ? text : text());
    setSaid(copied ? "Copied" : "Not allowed");
  };
  return (
    <button type="button" className="button small" onClick={copy}>
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}

/** Copies a text; returns whether the browser allowed it. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came without TLS from another machine have no clipboard; the old way still works there.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}
