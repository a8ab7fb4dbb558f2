import { toJson } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { useMemo } from "react";
import { CopyButton } from "../rpc/copy-button.tsx";
import { JsonTree } from "./json-tree.tsx";
import "./payload.css";

interface PayloadProps {
  readonly title: string;
  readonly value: Value | undefined;
  readonly isLoading?: boolean;
  /** What to say if there is none. */
  readonly none?: string;
}

/** A payload as a tree to read, and to copy. */
export function Payload({ title, value, isLoading = false, none = "None." }: PayloadProps) {
  const json = useMemo(() => value && toJson(ValueSchema, value), [value]);
  return (
    <section className="payload card" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {json !== undefined && <CopyButton text={() => JSON.stringify(json, null, 2)} />}
      </header>
      {isLoading ? (
        <span className="skeleton" style={{ width: "50%" }} />
      ) : json === undefined ? (
        <p className="muted">{none}</p>
      ) : (
        <div className="json">
          <JsonTree value={json} depth={0} />
        </div>
      )}
    </section>
  );
}
