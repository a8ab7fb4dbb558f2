import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";

/**
 * Returns a message that says the same in the binary format and costs next to nothing to write: its fields are encoded
 * already, as fields that the schema does not know would be. In JSON it would be empty.
 *
 * A message that goes to hundreds of streams is so encoded once.
 */
export function encodeOnce<Desc extends DescMessage>(
  desc: Desc,
  message: MessageShape<Desc>,
): MessageShape<Desc> {
  const encoded = create(desc);
  encoded.$unknown = fromBinary(EmptySchema, toBinary(desc, message)).$unknown ?? [];
  return encoded;
}
