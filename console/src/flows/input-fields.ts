import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** A field of the form for the input of a run. */
export interface InputField {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly isRequired: boolean;
  readonly kind: "text" | "number" | "integer" | "boolean" | "choice" | "date" | "json";
  /** What can be chosen, of a choice. */
  readonly choices: readonly JsonValue[];
  readonly initial: JsonValue | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
}

/** What stands in the form: text as it was typed, or whether a box is ticked. */
export type InputValues = Readonly<Record<string, string | boolean>>;

/**
 * Returns the fields of an object that a JSON Schema describes; undefined if it describes something else.
 *
 * It need not understand everything: what it does not, is a field for JSON, and the service has the last word.
 */
export function fieldsOf(schema: JsonValue | undefined): readonly InputField[] | undefined {
  if (!isObject(schema) || !isObject(schema["properties"])) {
    return undefined;
  }
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  return Object.entries(schema["properties"]).map(([name, property]) =>
    fieldOf(name, isObject(property) ? property : {}, required.includes(name)),
  );
}

function fieldOf(name: string, property: JsonObject, isRequired: boolean): InputField {
  const { title, description, default: initial, minimum, maximum } = property;
  return {
    name,
    title: typeof title === "string" ? title : name,
    description: typeof description === "string" ? description : "",
    isRequired,
    kind: kindOf(property),
    choices: Array.isArray(property["enum"]) ? property["enum"] : [],
    initial,
    min: typeof minimum === "number" ? minimum : undefined,
    max: typeof maximum === "number" ? maximum : undefined,
  };
}

function kindOf({ type, enum: choices, format }: JsonObject): InputField["kind"] {
  if (Array.isArray(choices)) {
    return "choice";
  }
  switch (type) {
    case "string":
      return format === "date" ? "date" : "text";
    case "number":
    case "integer":
    case "boolean":
      return type;
    default:
      return "json";
  }
}

/** Returns what stands in the form at first. */
export function initialValue(fields: readonly InputField[]): InputValues {
  return Object.fromEntries(
    fields.map(({ name, kind, initial }) => {
      if (kind === "boolean") {
        return [name, initial === true];
      }
      const isText = kind === "text" || kind === "date";
      return [name, initial === undefined ? "" : isText ? String(initial) : JSON.stringify(initial)];
    }),
  );
}

/**
 * Returns the input that a form says. A field that is left empty is left out.
 *
 * @throws SyntaxError if a field for JSON holds none
 */
export function inputOf(fields: readonly InputField[], values: InputValues): JsonObject {
  const entries = fields.flatMap(({ name, kind }): [string, JsonValue][] => {
    const value = values[name] ?? "";
    if (typeof value === "boolean") {
      return [[name, value]];
    }
    if (value === "") {
      return [];
    }
    return [[name, kind === "text" || kind === "date" ? value : JSON.parse(value)]];
  });
  return Object.fromEntries(entries);
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
