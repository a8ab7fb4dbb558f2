/**
 * Makes `.proto-deps/`, the third-party .proto files which ours import, from the npm packages.
 *
 * They are never committed: the versions in package-lock.json say which ones they are. The folder is
 * made beside the old one and then takes its place, so that an interrupted run leaves a whole one.
 */
import { copyFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRegistry } from "@bufbuild/protobuf";
import { file_buf_validate_validate as validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { buf, root } from "./buf.ts";
import { differingFiles, temporaryDirectory } from "./directories.ts";
import { printProto } from "./print-proto.ts";

/** The files that a package ships as they are: import path, and where the package has it. */
const copies = {
  "google/rpc/code.proto": import.meta.resolve("google-proto-files/google/rpc/code.proto"),
  "google/rpc/error_details.proto": import.meta.resolve("google-proto-files/google/rpc/error_details.proto"),
  "google/rpc/status.proto": import.meta.resolve("google-proto-files/google/rpc/status.proto"),
  "grpc/health/v1/health.proto": import.meta.resolve("grpc-health-check/proto/health/v1/health.proto"),
  "grpc/reflection/v1/reflection.proto": import.meta.resolve(
    "@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto",
  ),
  "grpc/reflection/v1alpha/reflection.proto": import.meta.resolve(
    "@grpc/reflection/build/proto/grpc/reflection/v1alpha/reflection.proto",
  ),
};

const target = join(root, ".proto-deps");
using workspace = temporaryDirectory(`${target}-`);
const made = join(workspace.path, "new");

for (const [path, source] of Object.entries(copies)) {
  mkdirSync(dirname(join(made, path)), { recursive: true });
  copyFileSync(fileURLToPath(source), join(made, path));
}

// The one file that no package ships as text: its descriptor has everything but the comments.
const origin = "// Printed from the descriptor in @bufbuild/protovalidate (Apache-2.0, Buf Technologies).\n";
const printed = join(made, "buf/validate/validate.proto");
mkdirSync(dirname(printed), { recursive: true });
writeFileSync(printed, origin + printProto(validate.proto, createRegistry(validate)));
if (!buf(["format", "-w", printed])) {
  throw new Error("buf cannot read the validate.proto that was printed");
}

// Left alone when it is right already: someone else's buf may be reading it.
if (differingFiles(made, target).length > 0) {
  if (existsSync(target)) {
    renameSync(target, join(workspace.path, "old"));
  }
  renameSync(made, target);
}
