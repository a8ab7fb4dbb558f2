import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  toJsonString,
} from "@bufbuild/protobuf";
import { CopyButton } from "./copy-button.tsx";
import { toGrpcurl } from "./grpcurl.ts";

interface GrpcurlButtonProps<Input extends DescMessage> {
  readonly method: DescMethod & { readonly input: Input };
  readonly request: MessageInitShape<Input>;
}

/** Copies the command that makes a call. */
export function GrpcurlButton<Input extends DescMessage>({ method, request }: GrpcurlButtonProps<Input>) {
  const text = () => toGrpcurl(method, toJsonString(method.input, create(method.input, request)));
  return <CopyButton text={text} label="Copy as grpcurl" />;
}
