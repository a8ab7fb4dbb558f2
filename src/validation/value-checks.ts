import type { DescEnum, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import {
  DoubleRulesSchema,
  DurationRulesSchema,
  EnumRulesSchema,
  type FieldRules,
  Int32RulesSchema,
  Int64RulesSchema,
  StringRulesSchema,
  TimestampRulesSchema,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** Reports whether a value is sure to keep a rule. */
export type Check = (value: never) => boolean;

/** Makes checks of the rules for one kind of value, by the names of the rules. */
type Makers = Readonly<Record<string, (rule: never) => Check>>;

/** Thrown for a rule that is not known here. What it is on is never sure to be valid. */
export class UnknownRule extends Error {}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

// The rules count code points, or bytes of UTF-8: a UTF-16 unit is at least half of one, and at most three of the other.
const strings: Makers = {
  min_len: (least: bigint) => (value: string) => value.length >= (least > 1n ? 2n : 1n) * least,
  max_len: (most: bigint) => (value: string) => value.length <= most,
  max_bytes: (most: bigint) => (value: string) => 3 * value.length <= most,
  uuid: (isRule: boolean) => (value: string) => !isRule || uuid.test(value),
};

const numbers: Makers = {
  gt: (limit: number) => (value: number) => value > limit,
  gte: (limit: number) => (value: number) => value >= limit,
  lt: (limit: number) => (value: number) => value < limit,
  lte: (limit: number) => (value: number) => value <= limit,
};

const times: Makers = {
  gte: (limit: ReflectMessage) => (value: Timestamp | Duration) => isInOrder(toTime(limit), value),
  lte: (limit: ReflectMessage) => (value: Timestamp | Duration) => isInOrder(value, toTime(limit)),
};

const enums = (desc: DescEnum): Makers => ({
  in: (allowed: Iterable<number>) => isIn(allowed),
  not_in: (refused: Iterable<number>) => {
    const isRefused = isIn(refused);
    return (value: number) => !isRefused(value);
  },
  defined_only: (isRule: boolean) => {
    const isDefined = isIn(desc.values.map(({ number }) => number));
    return (value: number) => !isRule || isDefined(value);
  },
});

/**
 * Returns the checks of the standard rules for one value: a string, a number, an enum, a timestamp or a duration.
 *
 * @throws UnknownRule
 */
export function checksOfValue(rules: FieldRules, desc?: DescEnum): Check[] {
  const { type } = rules;
  switch (type.case) {
    case undefined:
      return [];
    case "string":
      return makeChecks(reflect(StringRulesSchema, type.value), strings);
    case "int32":
      return makeChecks(reflect(Int32RulesSchema, type.value), numbers);
    case "int64":
      return makeChecks(reflect(Int64RulesSchema, type.value), numbers);
    case "double":
      return makeChecks(reflect(DoubleRulesSchema, type.value), numbers);
    case "timestamp":
      return makeChecks(reflect(TimestampRulesSchema, type.value), times);
    case "duration":
      return makeChecks(reflect(DurationRulesSchema, type.value), times);
    case "enum":
      return makeChecks(reflect(EnumRulesSchema, type.value), desc ? enums(desc) : {});
    default:
      throw new UnknownRule(type.case);
  }
}

/** Returns a check for each rule that is set. */
export function makeChecks(rules: ReflectMessage, makers: Makers): Check[] {
  const names = new Set<string>();
  const checks = rules.fields
    .filter((field) => rules.isSet(field))
    .map((field) => {
      const make = Object.hasOwn(makers, field.name) ? makers[field.name] : undefined;
      if (make === undefined) {
        throw new UnknownRule(field.name);
      }
      names.add(field.name);
      return make(rules.get(field) as never);
    });
  // Two limits the wrong way round leave out what is between them.
  if (rules.getUnknown()?.length || isReversed(rules)) {
    throw new UnknownRule(rules.desc.name);
  }
  return checks;
}

function isReversed(rules: ReflectMessage): boolean {
  const limits = ["gt", "gte", "lt", "lte"].map((name) => {
    const field = rules.desc.fields.find((each) => each.name === name);
    const limit = field && rules.isSet(field) ? rules.get(field) : undefined;
    return typeof limit === "object" && limit !== null ? toTime(limit as ReflectMessage).seconds : limit;
  }) as (number | bigint | undefined)[];
  const low = limits[0] ?? limits[1];
  const high = limits[2] ?? limits[3];
  return low !== undefined && high !== undefined && low > high;
}

function isIn(numbers: Iterable<number>): (value: number) => boolean {
  const set = new Set(numbers);
  return (value) => set.has(value);
}

function toTime(rule: ReflectMessage): Timestamp | Duration {
  return rule.message as Message as Timestamp | Duration;
}

/** Reports whether two times are as they should be, and the first is not after the second. */
export function isInOrder(first: Timestamp | Duration, second: Timestamp | Duration): boolean {
  return (
    isOrdinary(first) &&
    isOrdinary(second) &&
    (first.seconds < second.seconds || (first.seconds === second.seconds && first.nanos <= second.nanos))
  );
}

function isOrdinary({ seconds, nanos }: Timestamp | Duration): boolean {
  return seconds >= 0n && nanos >= 0 && nanos < 1_000_000_000;
}
