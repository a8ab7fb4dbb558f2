import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { openServices } from "../../src/server/open-services.ts";
import { startServer, type TestServer } from "./server.ts";

type Question = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"]>;

const service = "taskledger.v1.TaskExecutionService";
let server: TestServer;
beforeAll(async () => {
  server = await startServer({ tasks: { listTaskExecutions: () => ({ nextPageToken: "next" }) } });
});
afterAll(() => server[Symbol.asyncDispose]());

async function ask(...questions: Question[]): Promise<ServerReflectionResponse["messageResponse"][]> {
  const client = createClient(ServerReflection, createGrpcTransport({ baseUrl: server.origin }));
  async function* requests() {
    for (const messageRequest of questions) {
      yield { host: "a", messageRequest };
    }
  }
  const answers: ServerReflectionResponse["messageResponse"][] = [];
  for await (const response of client.serverReflectionInfo(requests())) {
    expect(response.validHost).toBe("a");
    expect(response.originalRequest).toBeDefined();
    answers.push(response.messageResponse);
  }
  return answers;
}

function filesOf(answer: ServerReflectionResponse["messageResponse"] | undefined): string[] {
  return answer?.case === "fileDescriptorResponse"
    ? answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name)
    : [];
}

test("lists every service", async () => {
  const [answer] = await ask({ case: "listServices", value: "" });
  expect(answer).toMatchObject({
    case: "listServicesResponse",
    value: { service: [service, ...openServices.map(({ typeName }) => typeName)].map((name) => ({ name })) },
  });
});

test.each([
  service,
  `${service}.GetTaskExecution`,
  "taskledger.v1.GetTaskExecutionRequest",
  "taskledger.v1.GetTaskExecutionRequest.id",
  "taskledger.v1.GetTaskExecutionRequest.lookup",
  "taskledger.v1.BatchCreateTaskExecutionsResponse.Result",
])("finds the file of %s, and all that it imports", async (symbol) => {
  const files = filesOf((await ask({ case: "fileContainingSymbol", value: symbol }))[0]);
  expect(files[0]).toBe("taskledger/v1/task_execution_service.proto");
  expect(files).toContain("google/protobuf/descriptor.proto");
  expect(files).toContain("buf/validate/validate.proto");
});

test("finds enums, their values, files and extensions", async () => {
  const answers = await ask(
    { case: "fileContainingSymbol", value: "grpc.health.v1.HealthCheckResponse.ServingStatus" },
    { case: "fileContainingSymbol", value: "grpc.health.v1.HealthCheckResponse.SERVING" },
    { case: "fileByFilename", value: "grpc/health/v1/health.proto" },
    {
      case: "fileContainingExtension",
      value: { containingType: "google.protobuf.FieldOptions", extensionNumber: 1159 },
    },
    { case: "allExtensionNumbersOfType", value: "google.protobuf.FieldOptions" },
  );
  expect(answers.slice(0, 4).map((answer) => filesOf(answer)[0])).toEqual([
    "grpc/health/v1/health.proto",
    "grpc/health/v1/health.proto",
    "grpc/health/v1/health.proto",
    "buf/validate/validate.proto",
  ]);
  expect(answers[4]).toMatchObject({
    case: "allExtensionNumbersResponse",
    value: { baseTypeName: "google.protobuf.FieldOptions", extensionNumber: expect.arrayContaining([1159]) },
  });
});

test.each<[string, Question]>([
  ["symbol nope", { case: "fileContainingSymbol", value: "nope" }],
  [`symbol ${service}.Nope`, { case: "fileContainingSymbol", value: `${service}.Nope` }],
  ["file nope.proto", { case: "fileByFilename", value: "nope.proto" }],
  ["message nope", { case: "allExtensionNumbersOfType", value: "nope" }],
  [
    "extension 1 of a.B",
    { case: "fileContainingExtension", value: { containingType: "a.B", extensionNumber: 1 } },
  ],
])("says that there is no such %s, and goes on", async (what, question) => {
  const [refused, listed] = await ask(question, { case: "listServices", value: "" });
  expect(refused).toMatchObject({
    case: "errorResponse",
    value: { errorCode: Code.NotFound, errorMessage: `no such ${what}` },
  });
  expect(listed?.case).toBe("listServicesResponse");
});

test("a request that asks nothing is refused by itself", async () => {
  const [answer] = await ask({ case: undefined });
  expect(answer).toMatchObject({ case: "errorResponse", value: { errorCode: Code.InvalidArgument } });
});

test("v1alpha answers as v1 does", async () => {
  const client = createClient(ServerReflectionAlpha, createGrpcTransport({ baseUrl: server.origin }));
  async function* requests() {
    yield { messageRequest: { case: "listServices", value: "" } as const };
  }
  for await (const { messageResponse } of client.serverReflectionInfo(requests())) {
    expect(messageResponse.case).toBe("listServicesResponse");
    expect(JSON.stringify(messageResponse.value)).toContain(`"${service}"`);
  }
});

test("buf curl calls a method with nothing but reflection", async () => {
  const buf = promisify(execFile);
  for (const protocol of ["grpc", "grpcweb", "connect"]) {
    const { stdout } = await buf("node_modules/.bin/buf", [
      ...["curl", "--http2-prior-knowledge", "--protocol", protocol, "-d", '{"page_size":5}'],
      `${server.origin}/${service}/ListTaskExecutions`,
    ]);
    expect(JSON.parse(stdout)).toEqual({ nextPageToken: "next" });
  }
});
