import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";

/** What a task is asked in every figure and by every yardstick: 200 bytes of JSON. */
export const input: JsonObject = filled(
  {
    source: "s3://intake/2026/11/part-00017.parquet",
    columns: ["id", "amount", "currency"],
    limit: 50_000,
    strict: true,
  },
  200,
);

/** What a task gives: 100 bytes of JSON. */
export const output: JsonObject = filled({ rows: 48_211, rejected: 12, checksum: "9f2c41d7" }, 100);

export const inputValue: Value = fromJson(ValueSchema, input);
export const outputValue: Value = fromJson(ValueSchema, output);

/** Adds a text to an object such that its JSON has a number of bytes. */
function filled(object: JsonObject, bytes: number): JsonObject {
  const missing = bytes - JSON.stringify({ ...object, note: "" }).length;
  return { ...object, note: "abcdefghij".repeat(missing / 10 + 1).slice(0, missing) };
}
