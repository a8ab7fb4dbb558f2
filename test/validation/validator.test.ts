import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { createValidator, type Validator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type CreateTaskExecutionRequest,
  CreateTaskExecutionRequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { TaskReportSchema } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { services } from "../../src/app.ts";
import { createMessageCheck } from "../../src/validation/message-checks.ts";
import { createQuickValidator } from "../../src/validation/validator.ts";

const library = createValidator();
const uuid = "0198a2b4-7c1d-7e2f-8a3b-4c5d6e7f8091";

const texts = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(uuid, uuid, uuid, uuid.toUpperCase(), "name") },
  fc.constantFrom("", `${uuid}\n`, uuid.slice(1), "\u{1f600}"),
  fc
    .record({
      unit: fc.constantFrom("a", "é", "\u{1f600}"),
      times: fc.constantFrom(64, 100, 200, 201, 1024, 1025),
    })
    .map(({ unit, times }) => unit.repeat(times)),
);
const numbers = fc.constantFrom(1, 1, 1, 1, 0, 2, 100, 1000, 1001, -1, 2 ** 31 - 1);
const seconds = fc.constantFrom(0n, 1n, 60n, 1_767_225_600n, 253_402_300_799n, 253_402_300_800n, -1n, 61n);
const nanos = fc.constantFrom(0, 0, 0, 0, 1, 999_999_999, -1, 1_000_000_000);

/** Makes messages of which some are valid, some nearly. */
function messages(desc: DescMessage, depth = 0): fc.Arbitrary<Message> {
  switch (desc.typeName) {
    case "google.protobuf.Timestamp":
    case "google.protobuf.Duration":
      return fc.record({ seconds, nanos }).map((time) => create(desc, time as never));
    case "google.protobuf.Value":
      return fc.constant(create(desc, { kind: { case: "stringValue", value: "text" } } as never));
  }
  const fields = desc.fields.filter(({ oneof }) => oneof === undefined);
  const plain = fc.record(
    Object.fromEntries(fields.map((field) => [field.localName, contents(field, depth)])),
  );
  const oneofs = fc.record(
    Object.fromEntries(
      desc.oneofs.map((oneof) => [
        oneof.localName,
        fc.oneof(
          fc.constant({ case: undefined }),
          ...oneof.fields.map((field) =>
            present(field, depth).map((value) => ({ case: field.localName, value })),
          ),
        ),
      ]),
    ),
  );
  return fc.tuple(plain, oneofs).map((parts) => create(desc, Object.assign({}, ...parts)));
}

/** Makes what may stand in a field, or nothing if it may be left out. */
function contents(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const isOptional = field.fieldKind === "message" || field.proto.proto3Optional;
  return isOptional ? fc.option(present(field, depth), { nil: undefined, freq: 1 }) : present(field, depth);
}

function present(field: DescField, depth: number): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "list": {
      const item = field.message ? messages(field.message, depth + 1) : scalars(field.scalar);
      const few = fc.array(item, { maxLength: depth > 1 ? 1 : 3 });
      const many = fc.record({ item, length: fc.constantFrom(6, 7, 8, 100, 101, 1000, 1001) });
      return depth > 0
        ? few
        : fc.oneof({ weight: 9, arbitrary: few }, { weight: 1, arbitrary: many.map(fill) });
    }
    case "map":
      return fc.dictionary(texts, texts, { maxKeys: 3 });
    case "message":
      return messages(field.message, depth + 1);
    case "enum":
      return fc.integer({ min: -1, max: 9 });
    default:
      return scalars(field.scalar);
  }
}

function fill({ item, length }: { item: unknown; length: number }): unknown[] {
  return Array.from({ length }, () => item);
}

function scalars(type: ScalarType | undefined): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return texts;
    case ScalarType.INT64:
      return numbers.map(BigInt);
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 3 });
    default:
      return numbers;
  }
}

const inputs = services.flatMap(({ methods }) => methods.map(({ input }) => input));

describe.each([...inputs, TaskReportSchema].map((desc) => [desc.typeName, desc] as const))(
  "%s",
  (_, desc) => {
    test("is never said to be valid when it is not", () => {
      const isSure = createMessageCheck(desc);
      fc.assert(
        fc.property(messages(desc), (message) => {
          if (isSure(message)) expect(library.validate(desc, message as never).kind).toBe("valid");
        }),
        { numRuns: 500 },
      );
    });
  },
);

test("a report that is valid is known to be, if its name and its times are not at the edge", () => {
  const isSure = createMessageCheck(CreateTaskExecutionRequestSchema);
  const isOrdinary = ({ nanos }: { nanos: number } = { nanos: 0 }) => nanos >= 0 && nanos < 1_000_000_000;
  const ordinary = (
    messages(CreateTaskExecutionRequestSchema) as fc.Arbitrary<CreateTaskExecutionRequest>
  ).filter(
    ({ taskName, startTime, endTime }) =>
      taskName.length <= 100 && isOrdinary(startTime) && isOrdinary(endTime),
  );
  let valid = 0;
  fc.assert(
    fc.property(ordinary, (message) => {
      const isValid = library.validate(CreateTaskExecutionRequestSchema, message).kind === "valid";
      valid += isValid ? 1 : 0;
      expect(isSure(message)).toBe(isValid);
    }),
    { numRuns: 3000 },
  );
  expect(valid).toBeGreaterThan(20);
});

test("the library is asked about what is not known to be valid, and only then", () => {
  const asked: string[] = [];
  const counting: Validator = {
    validate(schema, message) {
      asked.push(schema.typeName);
      return library.validate(schema, message);
    },
  };
  const validator = createQuickValidator(counting);
  const report = { flowExecutionId: uuid, taskName: "a", status: 3 };
  const judge = (init: object) =>
    validator.validate(CreateTaskExecutionRequestSchema, create(CreateTaskExecutionRequestSchema, init)).kind;
  expect(judge(report)).toBe("valid");
  expect(asked).toEqual([]);
  expect(judge({ ...report, taskName: "" })).toBe("invalid");
  expect(judge({ ...report, error: { message: "no" } })).toBe("invalid");
  expect(asked).toHaveLength(2);
});
