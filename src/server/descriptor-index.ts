import { createRegistry, type DescFile, type DescMessage, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** Finds the files that define services, messages, and all they use. */
export interface DescriptorIndex {
  fileByName(name: string): DescFile | undefined;
  /** Finds the file that defines a message, enum, enum value, field, oneof, extension, service or method. */
  fileBySymbol(symbol: string): DescFile | undefined;
  fileByExtension(extendee: string, number: number): DescFile | undefined;
  /** Returns the field numbers of all extensions of a message, or undefined if there is no such message. */
  extensionNumbers(extendee: string): number[] | undefined;
}

/** Indexes files and everything they import. */
export function createDescriptorIndex(roots: readonly DescFile[]): DescriptorIndex {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  for (const root of roots) {
    for (const each of withImports(root)) {
      files.set(each.proto.name, each);
    }
  }
  for (const file of files.values()) {
    for (const symbol of symbolsOf(file)) {
      symbols.set(symbol, file);
    }
  }
  const registry = createRegistry(...files.values());
  return {
    fileByName: (name) => files.get(name),
    fileBySymbol: (symbol) => symbols.get(symbol),
    fileByExtension(extendee, number) {
      const message = registry.getMessage(extendee);
      return message && registry.getExtensionFor(message, number)?.file;
    },
    extensionNumbers(extendee) {
      if (registry.getMessage(extendee) === undefined) {
        return undefined;
      }
      return [...registry].flatMap((desc) =>
        desc.kind === "extension" && desc.extendee.typeName === extendee ? [desc.number] : [],
      );
    },
  };
}

/** Returns the bytes of a file and of all that it imports: what a client needs to use it. */
export function serializeWithImports(file: DescFile): Uint8Array[] {
  return [...withImports(file)].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
}

function withImports(file: DescFile, seen = new Set<DescFile>()): Set<DescFile> {
  if (!seen.has(file)) {
    seen.add(file);
    for (const dependency of file.dependencies) {
      withImports(dependency, seen);
    }
  }
  return seen;
}

function* symbolsOf(file: DescFile): Iterable<string> {
  for (const desc of nestedTypes(file)) {
    yield desc.typeName;
    switch (desc.kind) {
      case "message":
        yield* membersOf(desc);
        break;
      case "service":
        yield* desc.methods.map(({ name }) => `${desc.typeName}.${name}`);
        break;
      case "enum": {
        // The values of an enum are siblings of the enum, not its children.
        const scope = desc.typeName.slice(0, desc.typeName.lastIndexOf(".") + 1);
        yield* desc.values.map(({ name }) => scope + name);
        break;
      }
    }
  }
}

function membersOf({ typeName, fields, oneofs }: DescMessage): string[] {
  return [...fields, ...oneofs].map(({ name }) => `${typeName}.${name}`);
}
