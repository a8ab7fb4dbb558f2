import type { DescService } from "@bufbuild/protobuf";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";

/** The services that need no credential, because they show no data: health and reflection. */
export const openServices: readonly DescService[] = [Health, ServerReflection, ServerReflectionAlpha];

/** Reports whether a service needs no credential. */
export function isOpenService({ typeName }: DescService): boolean {
  return openServices.some((service) => service.typeName === typeName);
}
