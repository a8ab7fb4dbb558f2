import type { DescFile, DescService } from "@bufbuild/protobuf";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createDescriptorIndex, type DescriptorIndex, serializeWithImports } from "./descriptor-index.ts";

/** A reflection request holds a name; anything large is an attack. */
const readMaxBytes = 4096;

/**
 * Adds grpc.reflection.v1 and v1alpha, which tell grpcurl, buf curl and others of the services.
 *
 * The two versions differ in nothing but their name; many clients still ask the older one first.
 *
 * @param details the files of messages that no service names but errors carry
 * @see https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 */
export function addReflection(
  router: ConnectRouter,
  services: readonly DescService[],
  details: readonly DescFile[] = [],
): void {
  const index = createDescriptorIndex([...services.map(({ file }) => file), ...details]);
  const names = services.map(({ typeName }) => ({ name: typeName }));

  async function* serverReflectionInfo<R extends Request>(requests: AsyncIterable<R>) {
    for await (const request of requests) {
      const messageResponse = answer(request.messageRequest, index, names);
      yield { validHost: request.host, originalRequest: request, messageResponse };
    }
  }

  router.service(ServerReflection, { serverReflectionInfo }, { readMaxBytes });
  router.service(ServerReflectionAlpha, { serverReflectionInfo }, { readMaxBytes });
}

/** What the requests of both versions have in common. */
interface Request {
  readonly host: string;
  readonly messageRequest: Question;
}

type Question =
  | {
      case: "listServices" | "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType";
      value: string;
    }
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } }
  | { case: undefined; value?: undefined };

function answer({ case: kind, value }: Question, index: DescriptorIndex, service: { name: string }[]) {
  switch (kind) {
    case "listServices":
      return { case: "listServicesResponse" as const, value: { service } };
    case "fileByFilename":
      return fileOr(index.fileByName(value), `file ${value}`);
    case "fileContainingSymbol":
      return fileOr(index.fileBySymbol(value), `symbol ${value}`);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = value;
      const file = index.fileByExtension(containingType, extensionNumber);
      return fileOr(file, `extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType": {
      const extensionNumber = index.extensionNumbers(value);
      return extensionNumber === undefined
        ? refusal(Code.NotFound, `no such message ${value}`)
        : { case: "allExtensionNumbersResponse" as const, value: { baseTypeName: value, extensionNumber } };
    }
    default:
      return refusal(Code.InvalidArgument, "the request asks nothing");
  }
}

function fileOr(file: DescFile | undefined, what: string) {
  return file === undefined
    ? refusal(Code.NotFound, `no such ${what}`)
    : { case: "fileDescriptorResponse" as const, value: { fileDescriptorProto: serializeWithImports(file) } };
}

function refusal(errorCode: Code, errorMessage: string) {
  return { case: "errorResponse" as const, value: { errorCode, errorMessage } };
}
