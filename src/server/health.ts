import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  Health,
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { LedgerError } from "../errors.ts";
import type { Readiness } from "./readiness.ts";

/** A health request holds the name of a service; anything large is an attack. */
const readMaxBytes = 4096;

/**
 * Adds grpc.health.v1: the server as a whole, named "", and each of the services, all as ready as the process.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export function addHealth(
  router: ConnectRouter,
  services: readonly DescService[],
  readiness: Readiness,
): void {
  const names = new Set(["", ...services.map(({ typeName }) => typeName)]);
  const status = (): ServingStatus =>
    readiness.isReady() ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;

  async function* watch({ service }: HealthCheckRequest, { signal }: HandlerContext) {
    const current = (): ServingStatus => (names.has(service) ? status() : ServingStatus.SERVICE_UNKNOWN);
    let wake = (): void => undefined;
    readiness.subscribe(() => wake(), signal);
    signal.addEventListener("abort", () => wake(), { once: true });
    for (let sent: ServingStatus | undefined; !signal.aborted; ) {
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      if (current() !== sent) {
        sent = current();
        yield { status: sent };
      } else {
        await changed;
      }
    }
  }

  router.service(
    Health,
    {
      check({ service }) {
        if (!names.has(service)) {
          throw new LedgerError("NOT_FOUND", `this server has no service "${service}"`, {
            metadata: { resource: "service" },
          });
        }
        return { status: status() };
      },
      list: () => ({ statuses: Object.fromEntries([...names].map((name) => [name, { status: status() }])) }),
      watch,
    },
    { readMaxBytes },
  );
}
