import { type DescField, type DescMessage, getOption, type Message } from "@bufbuild/protobuf";
import { reflect, usedTypes } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence as Presence } from "@bufbuild/protobuf/wkt";
import {
  type FieldRules,
  FieldRulesSchema,
  field as fieldRulesOption,
  Ignore,
  MessageRulesSchema,
  message as messageRulesOption,
  oneof as oneofRulesOption,
  RepeatedRulesSchema,
  type Rule,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { knownExpressions } from "./expressions.ts";
import { type Check, checksOfValue, makeChecks, UnknownRule } from "./value-checks.ts";

type Fields = Readonly<Record<string, unknown>>;

/**
 * Returns a function that reports whether a message is sure to be valid: whatever it says yes to keeps every rule of
 * its proto file. What it says no to may be valid nevertheless.
 */
export function createMessageCheck(desc: DescMessage): (message: Message) => boolean {
  try {
    const checks = checksOfMessage(desc);
    return (message) => message.$typeName === desc.typeName && all(checks, message as never);
  } catch (error) {
    if (error instanceof UnknownRule) return () => false;
    throw error;
  }
}

function checksOfMessage(desc: DescMessage, outer: readonly DescMessage[] = []): Check[] {
  if (!hasRules(desc)) {
    return [];
  }
  if (outer.includes(desc)) {
    throw new UnknownRule(`${desc.typeName} within itself`);
  }
  const rules = getOption(desc, messageRulesOption);
  makeChecks(reflect(MessageRulesSchema, rules), { cel: () => () => true });
  const required = desc.oneofs.filter((oneof) => getOption(oneof, oneofRulesOption).required);
  return [
    ...desc.fields.flatMap((field) => checksOfField(field, [...outer, desc])),
    ...rules.cel.map(checkOfExpression),
    ...required.map(
      ({ localName }) =>
        (message: Fields) =>
          (message[localName] as { case?: string }).case !== undefined,
    ),
  ];
}

/** Reports whether anything within a message has a rule. */
function hasRules(desc: DescMessage): boolean {
  const messages = [desc, ...usedTypes(desc)].filter((type) => type.kind === "message");
  return messages.some(
    (each) =>
      isSet(MessageRulesSchema, getOption(each, messageRulesOption)) ||
      each.fields.some((field) => isSet(FieldRulesSchema, getOption(field, fieldRulesOption))) ||
      each.oneofs.some((oneof) => getOption(oneof, oneofRulesOption).required),
  );
}

function isSet(desc: DescMessage, rules: Message): boolean {
  const reflected = reflect(desc, rules);
  return reflected.fields.some((field) => reflected.isSet(field));
}

function checksOfField(field: DescField, outer: readonly DescMessage[]): Check[] {
  const rules = getOption(field, fieldRulesOption);
  if (rules.ignore === Ignore.ALWAYS) {
    return [];
  }
  const checks = checksOfContent(field, rules, outer);
  const read = readerOf(field);
  if (rules.required) {
    if (field.fieldKind !== "message") throw new UnknownRule("required");
    return [(message: Fields) => read(message) !== undefined && all(checks, read(message) as never)];
  }
  if (checks.length === 0) {
    return [];
  }
  const isChecked = isCheckedBy(field, rules);
  return [(message: Fields) => !isChecked(read(message)) || all(checks, read(message) as never)];
}

/** Returns the function that tells of a field's content whether the rules are for it. */
function isCheckedBy(field: DescField, { ignore }: FieldRules): (content: unknown) => boolean {
  if (field.presence !== Presence.IMPLICIT) {
    return (content) => content !== undefined;
  }
  // Whatever is empty in JavaScript is the zero value of its field, lists aside.
  return ignore === Ignore.IF_ZERO_VALUE && field.fieldKind !== "list" ? Boolean : () => true;
}

function readerOf({ localName, oneof }: DescField): (message: Fields) => unknown {
  if (oneof === undefined) {
    return (message) => message[localName];
  }
  return (message) => {
    const chosen = message[oneof.localName] as { case?: string; value?: unknown };
    return chosen.case === localName ? chosen.value : undefined;
  };
}

function checksOfContent(field: DescField, rules: FieldRules, outer: readonly DescMessage[]): Check[] {
  if (rules.cel.length > 0 || rules.celExpression.length > 0) {
    throw new UnknownRule("cel");
  }
  switch (field.fieldKind) {
    case "scalar":
      return checksOfValue(rules);
    case "enum":
      return checksOfValue(rules, field.enum);
    case "message":
      return [...checksOfValue(rules), ...checksOfMessage(field.message, outer)];
    case "list":
      return checksOfList(field, rules, outer);
    case "map":
      if (isSet(FieldRulesSchema, rules) || field.message) throw new UnknownRule("map");
      return [];
  }
}

function checksOfList(
  field: DescField & { fieldKind: "list" },
  { type }: FieldRules,
  outer: readonly DescMessage[],
): Check[] {
  const rules = type.case === "repeated" ? type.value : undefined;
  if (rules === undefined && type.case !== undefined) {
    throw new UnknownRule(type.case);
  }
  const items = rules?.items;
  if (items?.required || (items?.ignore ?? Ignore.UNSPECIFIED) === Ignore.IF_ZERO_VALUE) {
    throw new UnknownRule("items");
  }
  const isIgnored = items?.ignore === Ignore.ALWAYS;
  const ofItem = isIgnored ? [] : checksOfItem(field, items, outer);
  const ofList = rules
    ? makeChecks(reflect(RepeatedRulesSchema, rules), {
        min_items: (least: bigint) => (list: unknown[]) => list.length >= least,
        max_items: (most: bigint) => (list: unknown[]) => list.length <= most,
        ...(field.listKind !== "message" && { unique: () => isUnique }),
        items: () => () => true,
      })
    : [];
  return ofItem.length === 0
    ? ofList
    : [...ofList, (list: unknown[]) => list.every((item) => all(ofItem, item as never))];
}

function isUnique(list: readonly unknown[]): boolean {
  return new Set(list).size === list.length;
}

function checksOfItem(
  field: DescField & { fieldKind: "list" },
  rules: FieldRules | undefined,
  outer: readonly DescMessage[],
): Check[] {
  if (rules !== undefined && (rules.cel.length > 0 || rules.celExpression.length > 0)) {
    throw new UnknownRule("cel");
  }
  const ofValue = rules ? checksOfValue(rules, field.enum) : [];
  return field.message ? [...ofValue, ...checksOfMessage(field.message, outer)] : ofValue;
}

function checkOfExpression({ expression }: Rule): Check {
  const known = Object.hasOwn(knownExpressions, expression) ? knownExpressions[expression] : undefined;
  if (known === undefined) {
    throw new UnknownRule(expression);
  }
  return known;
}

function all(checks: readonly Check[], value: never): boolean {
  for (const check of checks) {
    if (!check(value)) {
      return false;
    }
  }
  return true;
}
