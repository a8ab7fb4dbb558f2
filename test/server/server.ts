import { Writable } from "node:stream";
import type { Interceptor, ServiceImpl } from "@connectrpc/connect";
import { createValidateInterceptor } from "@connectrpc/validate";
import pino from "pino";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { createAdapter } from "../../src/server/adapter.ts";
import type { ToLedgerError } from "../../src/server/error-shape.ts";
import { createErrorsInterceptor } from "../../src/server/errors-interceptor.ts";
import { addHealth } from "../../src/server/health.ts";
import { defaultLimits, type Limits } from "../../src/server/limits.ts";
import { createLimitsInterceptor } from "../../src/server/limits-interceptor.ts";
import { createListener, type Listener, type ListenerOptions } from "../../src/server/listener.ts";
import { openServices } from "../../src/server/open-services.ts";
import { createReadiness, type ProbedReadiness } from "../../src/server/readiness.ts";
import { addReflection } from "../../src/server/reflection.ts";
import { createRequestLogInterceptor } from "../../src/server/request-log-interceptor.ts";
import type { Site } from "../../src/server/site.ts";

/** What a test may change of a server. */
export interface ServerOptions {
  /** The methods of TaskExecutionService that the test needs. */
  readonly tasks?: Partial<ServiceImpl<typeof TaskExecutionService>>;
  readonly limits?: Partial<Limits>;
  /** Stands where authentication stands. */
  readonly authenticate?: Interceptor;
  readonly toLedgerError?: ToLedgerError;
  readonly corsOrigins?: readonly string[];
  readonly tls?: ListenerOptions["tls"];
  readonly site?: Site;
  readonly probe?: () => Promise<void>;
}

/** A server on a free port of this machine, with the real interceptors around the given methods. */
export interface TestServer extends AsyncDisposable {
  readonly port: number;
  readonly origin: string;
  /** What was written to the log, as it was written. May be emptied. */
  readonly log: string[];
  /** The lines of the log that are about calls, parsed. */
  calls(): Record<string, unknown>[];
  readonly listener: Listener;
  readonly readiness: ProbedReadiness;
}

/** Starts a server and waits until it is ready. */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const log: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      log.push(chunk.toString());
      done();
    },
  });
  const logger = pino(sink);
  const readiness = createReadiness({ probe: options.probe ?? (() => Promise.resolve()), intervalMs: 20 });
  const services = [TaskExecutionService, ...openServices];
  const adapter = createAdapter({
    routes(router) {
      router.service(TaskExecutionService, options.tasks ?? {});
      addHealth(router, services, readiness);
      addReflection(router, services);
    },
    interceptors: [
      createRequestLogInterceptor(logger),
      createErrorsInterceptor(options.toLedgerError ?? (() => undefined)),
      createLimitsInterceptor(limits),
      ...(options.authenticate ? [options.authenticate] : []),
      createValidateInterceptor(),
    ],
    limits,
    logger,
    readiness,
    corsOrigins: options.corsOrigins ?? [],
    site: options.site,
  });
  const listener = createListener({ adapter, limits, readiness, tls: options.tls });
  const { port } = await listener.listen(0, "127.0.0.1");
  return {
    port,
    origin: `${options.tls ? "https" : "http"}://127.0.0.1:${port}`,
    log,
    calls: () => log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "call"),
    listener,
    readiness,
    async [Symbol.asyncDispose]() {
      readiness.close();
      await listener.close();
    },
  };
}

/** The path of a method of TaskExecutionService. */
export function pathOf(method: string): string {
  return `/${TaskExecutionService.typeName}/${method}`;
}
