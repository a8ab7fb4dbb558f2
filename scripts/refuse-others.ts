import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";

/**
 * Throws if anything is set in a message beyond the fields which the caller prints.
 *
 * It stands at the head of each function that prints, so that what the function does not know of
 * cannot be left out without anyone noticing.
 */
export function refuseOthers<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  printed: readonly (keyof MessageShape<Desc>)[],
): void {
  const names: readonly PropertyKey[] = printed;
  const reflected = reflect(schema, message);
  const others = schema.fields
    .filter((field) => reflected.isSet(field) && !names.includes(field.localName))
    .map((field) => field.name);
  const unknown = (message.$unknown ?? []).map((field) => `field ${field.no}`);
  if (others.length + unknown.length > 0) {
    throw new Error(`cannot print ${[...others, ...unknown].join(", ")} of a ${schema.typeName}`);
  }
}
