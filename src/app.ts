import { createRegistry, type Registry } from "@bufbuild/protobuf";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { createValidateInterceptor } from "@connectrpc/validate";
import type { MikroORM } from "@mikro-orm/postgresql";
import type { Logger } from "pino";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection as ServerReflectionV1 } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionV1Alpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { ApiKeyService } from "../gen/taskledger/v1/api_key_service_pb.ts";
import { file_taskledger_v1_error_details } from "../gen/taskledger/v1/error_details_pb.ts";
import { file_taskledger_v1_error_reason } from "../gen/taskledger/v1/error_reason_pb.ts";
import { FlowExecutionService } from "../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../gen/taskledger/v1/flow_service_pb.ts";
import { OrganizationService } from "../gen/taskledger/v1/organization_service_pb.ts";
import { TaskExecutionService } from "../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../gen/taskledger/v1/worker_service_pb.ts";
import { apiKeyService } from "./api-key/api-key-service.ts";
import {
  type Authenticate,
  createAdmission,
  createAuthenticationInterceptor,
} from "./auth/authentication-interceptor.ts";
import { authorizationInterceptor } from "./auth/authorization-interceptor.ts";
import type { CoalescerLimits } from "./coalescing/coalescer.ts";
import { createOrganizationInterceptor } from "./db/em.ts";
import { createIdMaker } from "./db/new-id.ts";
import { type DatabaseLimits, defaultDatabaseLimits } from "./db/orm.ts";
import { toLedgerError } from "./db/sql-state.ts";
import { Statistics } from "./db/statistics.ts";
import { Doorbell, type TellOthers } from "./dispatch/doorbell.ts";
import { createEngine } from "./dispatch/engine.ts";
import { WaitingRoom } from "./dispatch/waiting-room.ts";
import { workerService } from "./dispatch/worker-service.ts";
import { FlowPlans } from "./flow/flow-plan.ts";
import { flowService } from "./flow/flow-service.ts";
import { flowExecutionService } from "./flow-execution/flow-execution-service.ts";
import { defaultIngestLimits, type IngestLimits } from "./ingest/ingest-limits.ts";
import { ingestMethods } from "./ingest/ingest-methods.ts";
import { IngestRoom } from "./ingest/ingest-room.ts";
import { organizationService } from "./organization/organization-service.ts";
import { createPageTokens } from "./page-token/page-token.ts";
import { createSealedPlaces } from "./page-token/sealed-places.ts";
import type { Admit } from "./server/adapter.ts";
import { describeCause } from "./server/error-cause.ts";
import { createErrorsInterceptor } from "./server/errors-interceptor.ts";
import { addHealth } from "./server/health.ts";
import { defaultLimits, type Limits } from "./server/limits.ts";
import { createLimitsInterceptor } from "./server/limits-interceptor.ts";
import type { Readiness } from "./server/readiness.ts";
import { addReflection } from "./server/reflection.ts";
import { createRequestLogInterceptor } from "./server/request-log-interceptor.ts";
import { wellFormedInterceptor } from "./server/well-formed.ts";
import { CoalescedReads } from "./task-execution/coalesced-reads.ts";
import { CoalescedWrites } from "./task-execution/coalesced-writes.ts";
import { taskExecutionService } from "./task-execution/task-execution-service.ts";
import { type Ready, WritePath } from "./task-execution/write-path.ts";
import { createQuickValidator } from "./validation/validator.ts";
import { ChangeBell } from "./watch/change-bell.ts";
import { Feeds } from "./watch/feeds.ts";
import { PayloadCache } from "./watch/payload-cache.ts";
import type { WatchLimits } from "./watch/watch-limits.ts";
import { runWatchMethods, taskWatchMethods } from "./watch/watch-methods.ts";

/** What the application is made of that comes from outside. */
export interface AppOptions {
  readonly orm: MikroORM;
  /** Finds out who sends a request. */
  readonly authenticate: Authenticate;
  readonly log: Logger;
  readonly readiness: Readiness;
  readonly now?: () => Date;
  readonly limits?: Limits;
  readonly databaseLimits?: Pick<DatabaseLimits, "statementTimeoutMs" | "pool">;
  /** Tells of work; unless given, only those who wait in this process. */
  readonly dispatch?: Dispatch;
  /** Tells other processes that organizations have changed; unless given, they find out by themselves. */
  readonly tellOfChanges?: TellOthers;
  readonly watchLimits?: WatchLimits;
  readonly ingestLimits?: IngestLimits;
}

/** The services, and the interceptors that every call goes through, outermost first. */
export interface App {
  readonly writePath: WritePath;
  /** The queue in front of it. */
  readonly writes: CoalescedWrites;
  /** What those who watch are told from. */
  readonly feeds: Feeds;
  /** What ingest streams hold. */
  readonly ingestRoom: IngestRoom;
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: readonly Interceptor[];
  readonly admit: Admit;
  /** What stands in a google.protobuf.Any: the details of the errors of single items. */
  readonly details: Registry;
}

/** How those who wait for work learn that there is some. */
export interface Dispatch {
  readonly waitingRoom: WaitingRoom;
  readonly doorbell: Doorbell;
  /** Fires when the service shuts down. */
  readonly closing: AbortSignal;
}

/** Creates the dispatch of a process. Without a database to tell others by it tells only its own. */
export function createDispatch(tellOthers?: TellOthers, closing = new AbortController().signal): Dispatch {
  const waitingRoom = new WaitingRoom();
  return { waitingRoom, doorbell: new Doorbell(waitingRoom, tellOthers), closing };
}

/** All services of the ledger. */
export const services = [
  TaskExecutionService,
  WorkerService,
  FlowService,
  FlowExecutionService,
  OrganizationService,
  ApiKeyService,
] as const;

/** What the details of errors are made of, so that JSON has them in words, and grpcurl can print them. */
const errorDetails = [
  file_google_rpc_error_details,
  file_taskledger_v1_error_details,
  file_taskledger_v1_error_reason,
];

/** Returns the limits of a coalescer that has so many connections. */
function coalescerLimits(limits: Limits, connections: number): CoalescerLimits {
  return {
    batches: Math.max(1, Math.floor(connections)),
    lanes: 2,
    crowd: 24,
    slowMs: 50,
    batchCount: limits.batchRecords,
    batchBytes: limits.batchBytes,
    queuedCount: limits.queuedRecords,
    queuedBytes: limits.queuedBytes,
    queuedBytesOfAll: limits.queuedBytesOfAll,
  };
}

/** Builds every service and every interceptor. Listens to nothing. */
export function createApp(options: AppOptions): App {
  const { orm, authenticate, log, readiness, now = () => new Date(), limits = defaultLimits } = options;
  const { statementTimeoutMs, pool } = options.databaseLimits ?? defaultDatabaseLimits;
  const newId = createIdMaker();
  const sealed = createSealedPlaces({ now });
  const pageTokens = createPageTokens({ now, sealed });
  const { waitingRoom, doorbell, closing } = options.dispatch ?? createDispatch();
  const plans = new FlowPlans();
  const onError = (err: unknown) => log.warn({ err: describeCause(err) }, "cannot read what has changed");
  const feeds = new Feeds({
    orm,
    limits: options.watchLimits,
    streamsPerCaller: limits.maxStreamsPerCaller,
    statementTimeoutMs,
    onError,
  });
  const bell = new ChangeBell(feeds, options.tellOfChanges);
  const onReady = (ready: Ready) => doorbell.ring(ready);
  const statistics = new Statistics(orm, log);
  const onChange = (organizationId: string, events: number) => {
    bell.ring(organizationId);
    statistics.grew(events);
  };
  const random = Math.random;
  const writePath = new WritePath({ now, newId, plans, engine: createEngine(random), onReady, onChange });
  // Half of the connections write for many and a third reads for many; the others are for what is not coalesced.
  const writeLimits = coalescerLimits(limits, pool / 2);
  const writes = new CoalescedWrites({ orm, writePath, limits: writeLimits, statementTimeoutMs });
  const readLimits = coalescerLimits(limits, pool / 3);
  const reads = new CoalescedReads({ orm, limits: readLimits, statementTimeoutMs });
  const payloads = new PayloadCache(feeds.limits.payloadCacheBytes);
  const watching = { feeds, sealed, payloads, closing, now, random };
  const ingestLimits = options.ingestLimits ?? defaultIngestLimits;
  const ingestRoom = new IngestRoom(limits, ingestLimits);
  const onDefect = (err: unknown, requestId: string) =>
    log.error({ err: describeCause(err), requestId }, "cannot write an item of a stream");
  const ingesting = { writes, room: ingestRoom, limits: ingestLimits, closing, onDefect };
  const deps = { orm, now, newId, pageTokens, plans, writePath, writes, reads, waitingRoom, closing };
  return {
    writePath,
    writes,
    details: createRegistry(...errorDetails),
    admit: createAdmission(authenticate, limits.maxUnaryInFlight),
    feeds,
    ingestRoom,
    interceptors: [
      createRequestLogInterceptor(log),
      createErrorsInterceptor(toLedgerError),
      createLimitsInterceptor(limits),
      createAuthenticationInterceptor(authenticate),
      authorizationInterceptor,
      createValidateInterceptor({ validator: createQuickValidator() }),
      wellFormedInterceptor,
      createOrganizationInterceptor(orm, statementTimeoutMs),
    ],
    routes(router) {
      router.service(TaskExecutionService, {
        ...taskExecutionService(deps),
        ...ingestMethods(ingesting),
        ...taskWatchMethods(watching),
      });
      router.service(WorkerService, workerService(deps));
      router.service(FlowService, flowService(deps));
      router.service(FlowExecutionService, { ...flowExecutionService(deps), ...runWatchMethods(watching) });
      router.service(OrganizationService, organizationService(deps));
      router.service(ApiKeyService, apiKeyService(deps));
      addHealth(router, services, readiness);
      addReflection(router, [...services, Health, ServerReflectionV1, ServerReflectionV1Alpha], errorDetails);
    },
  };
}
