import type { JsonValue } from "@bufbuild/protobuf";
import { useState } from "react";

/** Down to here a tree is open at first. */
const openDepth = 2;
/** How many entries are shown at once: a list may have ten thousand. */
const pageSize = 100;
/** Longer texts are cut until somebody asks. */
const longText = 400;

interface JsonTreeProps {
  readonly value: JsonValue;
  readonly depth: number;
  /** The key in the object or the index in the list that it stands in. */
  readonly name?: string;
}

/** A JSON value whose objects and lists open and close. */
export function JsonTree({ value, depth, name }: JsonTreeProps) {
  if (typeof value === "object" && value !== null && Object.keys(value).length > 0) {
    return <Branch value={value} depth={depth} {...(name !== undefined && { name })} />;
  }
  return (
    <div className="json-leaf">
      {name !== undefined && <Key name={name} />}
      <Leaf value={value} />
    </div>
  );
}

function Branch({ value, depth, name }: JsonTreeProps & { value: object }) {
  const [isOpen, setOpen] = useState(depth < openDepth);
  const [shown, setShown] = useState(pageSize);
  const entries = Object.entries(value as Record<string, JsonValue>);
  const isList = Array.isArray(value);
  const size =
    entries.length === 1
      ? isList
        ? "1 item"
        : "1 field"
      : `${entries.length} ${isList ? "items" : "fields"}`;
  return (
    <details
      className="json-branch"
      open={isOpen}
      onToggle={({ currentTarget }) => setOpen(currentTarget.open)}
    >
      <summary>
        {name !== undefined && <Key name={name} />}
        <span className="muted">{isList ? `[${size}]` : `{${size}}`}</span>
      </summary>
      {isOpen && (
        <div className="json-entries">
          {entries.slice(0, shown).map(([key, entry]) => (
            <JsonTree key={key} name={key} value={entry} depth={depth + 1} />
          ))}
          {entries.length > shown && (
            <button type="button" className="button small" onClick={() => setShown(shown + 10 * pageSize)}>
              Show more, {entries.length - shown} left
            </button>
          )}
        </div>
      )}
    </details>
  );
}

function Key({ name }: { name: string }) {
  return <span className="json-key">{name}: </span>;
}

function Leaf({ value }: { value: JsonValue }) {
  const [isWhole, setWhole] = useState(false);
  if (typeof value !== "string") {
    return <span className={`json-${value === null ? "null" : typeof value}`}>{JSON.stringify(value)}</span>;
  }
  const cut = !isWhole && value.length > longText;
  return (
    <span className="json-string">
      {JSON.stringify(cut ? `${value.slice(0, longText)}…` : value)}
      {cut && (
        <button type="button" className="button small" onClick={() => setWhole(true)}>
          all {value.length} characters
        </button>
      )}
    </span>
  );
}
