import { expect, test } from "vitest";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { toGrpcurl } from "../src/rpc/grpcurl.ts";

const method = FlowService.method.validateFlow;

test("a request with quotes of its own is one word of the shell", () => {
  const command = toGrpcurl(method, `{"definition":"name: it's"}`, new URL("http://127.0.0.1:8080/runs"));
  expect(command).toBe(
    `grpcurl -plaintext -H "Authorization: Bearer $TASKLEDGER_KEY" -d '{"definition":"name: it'\\''s"}' ` +
      "127.0.0.1:8080 taskledger.v1.FlowService/ValidateFlow",
  );
});

test("over TLS the port is said and plaintext is not", () => {
  expect(toGrpcurl(method, "{}", new URL("https://ledger.example/"))).toBe(
    'grpcurl -H "Authorization: Bearer $TASKLEDGER_KEY" ledger.example:443 taskledger.v1.FlowService/ValidateFlow',
  );
});
