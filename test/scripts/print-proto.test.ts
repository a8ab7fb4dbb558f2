import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { create, createRegistry, fromBinary, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FileOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate as validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../scripts/directories.ts";
import { printProto } from "../../scripts/print-proto.ts";

const registry = createRegistry(validate);

describe("the printed validate.proto", () => {
  const source = printProto(validate.proto, registry);

  test("compiles to the descriptor it was printed from", () => {
    expect(comparable(compile(source))).toEqual(comparable(validate.proto));
  });

  test("would be found out if one rule in it read differently", () => {
    const altered = source.replace("this >= rules.lt)", "this > rules.lt)");

    expect(altered).not.toBe(source);
    expect(comparable(compile(altered))).not.toEqual(comparable(validate.proto));
  });
});

describe("a descriptor is refused rather than printed without", () => {
  const { GROUP, INT32 } = FieldDescriptorProto_Type;
  const int32 = {
    name: "f",
    jsonName: "f",
    number: 1,
    label: FieldDescriptorProto_Label.OPTIONAL,
    type: INT32,
  };
  const unknownField = new BinaryWriter().tag(49_999, WireType.Varint).bool(true).finish();
  const inMessage = (content: object) => ({ messageType: [{ name: "M", ...content }] });

  test.each<[string, string, MessageInitShape<typeof FileDescriptorProtoSchema>]>([
    ["its services", "service of", { service: [{ name: "S" }] }],
    ["its syntax", "syntax proto3", { syntax: "proto3" }],
    ["its edition", "edition of", { syntax: "editions", edition: 1000 }],
    ["its public imports", "public_dependency of", { publicDependency: [0] }],
    ["the extensions in a message", "extension of", inMessage({ extension: [int32] })],
    ["a map", "map fields", inMessage({ options: { mapEntry: true } })],
    ["a group", "groups", inMessage({ field: [{ ...int32, type: GROUP }] })],
    ["a JSON name of its own", "the JSON name g", inMessage({ field: [{ ...int32, jsonName: "g" }] })],
    ["a default value", "default_value of", inMessage({ field: [{ ...int32, defaultValue: "7" }] })],
    [
      "the options of extension ranges",
      "options of",
      inMessage({ extensionRange: [{ start: 1, end: 2, options: {} }] }),
    ],
    [
      "a custom option that is not in the registry",
      "option 49999",
      { options: fromBinary(FileOptionsSchema, unknownField) },
    ],
    [
      "a part that descriptor.proto does not have",
      "field 49999",
      fromBinary(FileDescriptorProtoSchema, unknownField),
    ],
  ])("%s", (_, named, file) => {
    const print = () => printProto(create(FileDescriptorProtoSchema, file), registry);

    expect(print).toThrow(`cannot print ${named}`);
  });
});

/** Compiles the source as if it stood at the path of validate.proto. */
function compile(source: string): FileDescriptorProto {
  using directory = temporaryDirectory(join(tmpdir(), "taskledger-print-proto-"));
  const path = join(directory.path, validate.proto.name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, source);
  const buf = join(import.meta.dirname, "../../node_modules/.bin/buf");
  const output = execFileSync(buf, [
    "build",
    directory.path,
    "--as-file-descriptor-set",
    "-o",
    "-#format=binpb",
  ]);
  const file = fromBinary(FileDescriptorSetSchema, output).file.find(
    ({ name }) => name === validate.proto.name,
  );
  if (file === undefined) {
    throw new Error(`buf did not build ${validate.proto.name}`);
  }
  return file;
}

/** Returns a descriptor without what its compiler may add or leave out as it likes. */
function comparable(file: FileDescriptorProto): unknown {
  const incidental = ["syntax", "sourceCodeInfo"];
  // The registry is what makes the custom options appear; without it they would be left out.
  const json = toJson(FileDescriptorProtoSchema, file, { registry });
  return JSON.parse(JSON.stringify(json), (key, value) => (incidental.includes(key) ? undefined : value));
}
