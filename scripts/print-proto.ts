import { isFieldSet, type Registry } from "@bufbuild/protobuf";
import { protoCamelCase } from "@bufbuild/protobuf/reflect";
import {
  type DescriptorProto,
  DescriptorProto_ExtensionRangeSchema,
  DescriptorProto_ReservedRangeSchema,
  DescriptorProtoSchema,
  type EnumDescriptorProto,
  EnumDescriptorProtoSchema,
  EnumOptionsSchema,
  EnumValueDescriptorProtoSchema,
  EnumValueOptionsSchema,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileOptionsSchema,
  MessageOptionsSchema,
  OneofDescriptorProtoSchema,
  OneofOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { printOptions } from "./print-proto-options.ts";
import { refuseOthers } from "./refuse-others.ts";

/**
 * Prints the .proto source that a descriptor was compiled from, without its comments.
 *
 * It knows what buf/validate/validate.proto needs of proto2 and throws on everything else, so that
 * a newer version cannot lose a rule on the way. Custom options are looked up in the registry.
 * Indentation is left to `buf format`.
 */
export function printProto(file: FileDescriptorProto, registry: Registry): string {
  refuseOthers(FileDescriptorProtoSchema, file, [
    "name",
    "package",
    "dependency",
    "syntax",
    "options",
    "sourceCodeInfo",
    "extension",
    "enumType",
    "messageType",
  ]);
  if (file.syntax !== "" && file.syntax !== "proto2") {
    throw new Error(`${file.name}: cannot print syntax ${file.syntax}`);
  }
  const lines = [
    'syntax = "proto2";',
    `package ${file.package};`,
    ...file.dependency.map((path) => `import ${JSON.stringify(path)};`),
    ...optionStatements(printOptions(FileOptionsSchema, file.options, registry)),
    ...file.extension.map((field) => `extend ${field.extendee} {\n${printField(field, registry)}\n}`),
    ...file.enumType.map((type) => printEnum(type, registry)),
    ...file.messageType.map((type) => printMessage(type, registry)),
  ];
  return `${lines.join("\n")}\n`;
}

function printMessage(message: DescriptorProto, registry: Registry): string {
  refuseOthers(DescriptorProtoSchema, message, [
    "name",
    "options",
    "field",
    "oneofDecl",
    "nestedType",
    "enumType",
    "extensionRange",
    "reservedRange",
    "reservedName",
  ]);
  if (message.options?.mapEntry) {
    throw new Error(`${message.name}: cannot print map fields`);
  }
  for (const range of message.extensionRange) {
    refuseOthers(DescriptorProto_ExtensionRangeSchema, range, ["start", "end"]);
  }
  for (const range of message.reservedRange) {
    refuseOthers(DescriptorProto_ReservedRangeSchema, range, ["start", "end"]);
  }
  return [
    `message ${message.name} {`,
    ...optionStatements(printOptions(MessageOptionsSchema, message.options, registry)),
    ...message.enumType.map((type) => printEnum(type, registry)),
    ...message.nestedType.map((type) => printMessage(type, registry)),
    ...message.field.map((field) =>
      isInOneof(field) ? printOneofAtFirst(field, message, registry) : printField(field, registry),
    ),
    // In messages, and only there, the end of a range is the first number after it.
    printRanges("extensions", message.extensionRange, -1),
    printRanges("reserved", message.reservedRange, -1),
    printReservedNames(message.reservedName),
    "}",
  ].join("\n");
}

/** Prints a whole oneof where its first field stands, and nothing where the others stand. */
function printOneofAtFirst(
  field: FieldDescriptorProto,
  message: DescriptorProto,
  registry: Registry,
): string {
  const fields = message.field.filter((other) => isInOneof(other) && other.oneofIndex === field.oneofIndex);
  const oneof = message.oneofDecl[field.oneofIndex];
  if (oneof === undefined) {
    throw new Error(`${message.name}.${field.name}: its oneof is not declared`);
  }
  if (fields[0] !== field) {
    return "";
  }
  refuseOthers(OneofDescriptorProtoSchema, oneof, ["name", "options"]);
  return [
    `oneof ${oneof.name} {`,
    ...optionStatements(printOptions(OneofOptionsSchema, oneof.options, registry)),
    ...fields.map((member) => printField(member, registry)),
    "}",
  ].join("\n");
}

function printField(field: FieldDescriptorProto, registry: Registry): string {
  refuseOthers(FieldDescriptorProtoSchema, field, [
    "name",
    "number",
    "label",
    "type",
    "typeName",
    "extendee",
    "oneofIndex",
    "options",
    "jsonName",
  ]);
  if (field.jsonName !== protoCamelCase(field.name)) {
    throw new Error(`${field.name}: cannot print the JSON name ${field.jsonName}`);
  }
  if (field.type === FieldDescriptorProto_Type.GROUP) {
    throw new Error(`${field.name}: cannot print groups`);
  }
  const label = isInOneof(field) ? "" : `${FieldDescriptorProto_Label[field.label].toLowerCase()} `;
  const type = field.typeName || FieldDescriptorProto_Type[field.type].toLowerCase();
  const options = inlineOptions(printOptions(FieldOptionsSchema, field.options, registry));
  return `${label}${type} ${field.name} = ${field.number}${options};`;
}

function printEnum(type: EnumDescriptorProto, registry: Registry): string {
  refuseOthers(EnumDescriptorProtoSchema, type, [
    "name",
    "options",
    "value",
    "reservedRange",
    "reservedName",
  ]);
  const values = type.value.map((value) => {
    refuseOthers(EnumValueDescriptorProtoSchema, value, ["name", "number", "options"]);
    const options = inlineOptions(printOptions(EnumValueOptionsSchema, value.options, registry));
    return `${value.name} = ${value.number}${options};`;
  });
  return [
    `enum ${type.name} {`,
    ...optionStatements(printOptions(EnumOptionsSchema, type.options, registry)),
    ...values,
    printRanges("reserved", type.reservedRange, 0),
    printReservedNames(type.reservedName),
    "}",
  ].join("\n");
}

function optionStatements(options: readonly string[]): string[] {
  return options.map((option) => `option ${option};`);
}

function inlineOptions(options: readonly string[]): string {
  return options.length === 0 ? "" : ` [${options.join(", ")}]`;
}

function printRanges(
  keyword: string,
  ranges: readonly { readonly start: number; readonly end: number }[],
  fromEndToLast: number,
): string {
  const printed = ranges.map(({ start, end }) => {
    const last = end + fromEndToLast;
    return start === last ? start : `${start} to ${last}`;
  });
  return printed.length === 0 ? "" : `${keyword} ${printed.join(", ")};`;
}

function printReservedNames(names: readonly string[]): string {
  return names.length === 0 ? "" : `reserved ${names.map((name) => JSON.stringify(name)).join(", ")};`;
}

function isInOneof(field: FieldDescriptorProto): boolean {
  return isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex);
}
