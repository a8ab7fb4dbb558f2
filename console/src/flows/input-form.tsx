import { useId } from "react";
import type { InputField, InputValues } from "./input-fields.ts";

interface InputFormProps {
  readonly fields: readonly InputField[];
  readonly values: InputValues;
  readonly onChange: (values: InputValues) => void;
}

/** The form for the input of a run. */
export function InputForm({ fields, values, onChange }: InputFormProps) {
  return fields.map((field) => (
    <FieldRow
      key={field.name}
      field={field}
      value={values[field.name] ?? ""}
      onChange={(value) => onChange({ ...values, [field.name]: value })}
    />
  ));
}

interface FieldRowProps {
  readonly field: InputField;
  readonly value: string | boolean;
  readonly onChange: (value: string | boolean) => void;
}

function FieldRow({ field, value, onChange }: FieldRowProps) {
  const id = useId();
  const { title, description, isRequired, kind } = field;
  if (kind === "boolean") {
    return (
      <label className="choice">
        <input type="checkbox" checked={value === true} onChange={({ target }) => onChange(target.checked)} />
        {title}
        {description !== "" && <span className="muted small">{description}</span>}
      </label>
    );
  }
  return (
    <div className="field">
      <label htmlFor={id}>
        {title} {!isRequired && <span className="muted small">optional</span>}
      </label>
      <Control field={field} id={id} value={String(value)} onChange={onChange} />
      {description !== "" && (
        <p id={`${id}-note`} className="muted small">
          {description}
        </p>
      )}
    </div>
  );
}

interface ControlProps {
  readonly field: InputField;
  readonly id: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

const inputTypes = { text: "text", date: "date", number: "number", integer: "number" } as const;

function Control({ field, id, value, onChange }: ControlProps) {
  const { kind, isRequired, choices, min, max, description } = field;
  const common = {
    id,
    required: isRequired,
    value,
    "aria-describedby": description === "" ? undefined : `${id}-note`,
    onChange: ({ target }: { target: { value: string } }) => onChange(target.value),
  };
  switch (kind) {
    case "choice":
      return (
        <select {...common}>
          <option value="">Choose…</option>
          {choices.map((choice) => (
            <option key={JSON.stringify(choice)} value={JSON.stringify(choice)}>
              {typeof choice === "string" ? choice : JSON.stringify(choice)}
            </option>
          ))}
        </select>
      );
    case "json":
    case "boolean":
      return <textarea {...common} className="mono" rows={3} spellCheck={false} placeholder="JSON" />;
    default:
      return (
        <input
          {...common}
          type={inputTypes[kind]}
          min={min}
          max={max}
          step={kind === "integer" ? 1 : "any"}
        />
      );
  }
}
