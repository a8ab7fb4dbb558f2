import {
  type DescExtension,
  type DescField,
  type DescMessage,
  getExtension,
  type MessageShape,
  type Registry,
} from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/**
 * Prints the options of one declaration as `name = value`, a repeated one once for each value.
 *
 * Custom options arrive as fields that the options message does not know: each is looked up in the
 * registry, and one that is not there throws.
 */
export function printOptions<Desc extends DescMessage>(
  schema: Desc,
  options: MessageShape<Desc> | undefined,
  registry: Registry,
): string[] {
  if (options === undefined) {
    return [];
  }
  const known = fieldValues(reflect(schema, options)).map(
    ([field, value]) => `${field.name} = ${printValue(field, value)}`,
  );
  const numbers = new Set((options.$unknown ?? []).map((field) => field.no));
  const custom = [...numbers].map((number) => {
    const extension = registry.getExtensionFor(schema, number);
    if (extension === undefined) {
      throw new Error(`cannot print option ${number} of ${schema.typeName}: no such extension is known`);
    }
    return `(${extension.typeName}) = ${printExtension(extension, getExtension(options, extension))}`;
  });
  return [...known, ...custom];
}

function printExtension(extension: DescExtension, value: unknown): string {
  if (extension.fieldKind === "list") {
    throw new Error(`cannot print the repeated option ${extension.typeName}`);
  }
  // getExtension answers a plain message where the fields of a reflected message are reflected too.
  return extension.fieldKind === "message"
    ? printMessageValue(reflect(extension.message, value as MessageShape<typeof extension.message>))
    : printValue(extension, value);
}

/** Lists what is set in a message in the order of its fields, the items of a list one by one. */
function fieldValues(message: ReflectMessage): [DescField, unknown][] {
  return message.fields
    .filter((field) => message.isSet(field))
    .flatMap((field): [DescField, unknown][] => {
      switch (field.fieldKind) {
        case "map":
          throw new Error(`cannot print the map ${field}`);
        case "list":
          return [...message.get(field)].map((item) => [field, item]);
        default:
          return [[field, message.get(field)]];
      }
    });
}

function printMessageValue(message: ReflectMessage): string {
  const fields = fieldValues(message).map(([field, value]) => `${field.name}: ${printValue(field, value)}`);
  if (message.getUnknown()?.length) {
    throw new Error(`cannot print the unknown fields of a ${message.desc.typeName}`);
  }
  return `{ ${fields.join(", ")} }`;
}

function printValue(field: DescField | DescExtension, value: unknown): string {
  if (isReflectMessage(value)) {
    return printMessageValue(value);
  }
  const enumValue = field.enum?.values.find((candidate) => candidate.number === value);
  if (enumValue !== undefined) {
    return enumValue.name;
  }
  switch (typeof value) {
    case "string":
      // The escapes of JSON are a subset of those of a .proto file.
      return JSON.stringify(value);
    case "boolean":
    case "bigint":
      return String(value);
    case "number":
      if (Number.isFinite(value) && field.enum === undefined) {
        return String(value);
      }
  }
  throw new Error(`cannot print ${value} as a value of ${field}`);
}
