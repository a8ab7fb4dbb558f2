import { afterAll, beforeAll, expect } from "vitest";
import { connect } from "../../src/worker/connect.ts";
import type { Executor } from "../../src/worker/task.ts";
import { Worker } from "../../src/worker/worker.ts";
import { openDatabase, type TestDatabase } from "../database.ts";
import { type ServiceProcess, startServiceProcess } from "../service.ts";
import { openTab, type Tab, type TabOptions } from "./chromium.ts";
import { type Office, openOffice } from "./office.ts";

/** What Chromium says when the service is away, or refuses a credential: not of the page's making. */
export const ofTheNetwork = /Failed to load resource|net::ERR_/;

/** The service that the tests of a file visit. */
export interface Stage {
  readonly origin: string;
  readonly port: number;
  openOffice(): Promise<Office>;
  /** Works for an organization until the end of the block. */
  work(office: Office, executors: Readonly<Record<string, Executor>>): AsyncDisposable;
  /** Kills the service, and returns what starts it again at the same port. */
  kill(): Promise<() => Promise<void>>;
  /** Starts another service on the same database. */
  startAnother(env: Readonly<Record<string, string>>): Promise<ServiceProcess>;
}

/** Starts a service for the tests of a file, and ends it after them. */
export function setStage(): Stage {
  let database: TestDatabase;
  let service: ServiceProcess;
  beforeAll(async () => {
    database = await openDatabase();
    service = await startServiceProcess(database.serviceUrl);
  });
  afterAll(async () => {
    await service?.end("SIGKILL");
    await database?.close();
  });
  return {
    get origin() {
      return service.origin;
    },
    get port() {
      return service.port;
    },
    openOffice: () => openOffice(service),
    work(office, executors) {
      const worker = new Worker({
        transport: connect(service.origin, office.key),
        executors,
        workerId: "test",
      });
      return { [Symbol.asyncDispose]: () => worker.stop(1000) };
    },
    async kill() {
      const { port } = service;
      await service.end("SIGKILL");
      return async () => {
        service = await startServiceProcess(database.serviceUrl, { PORT: String(port) });
      };
    },
    startAnother: (env) => startServiceProcess(database.serviceUrl, env),
  };
}

/** Opens a tab that must not have written errors to the console of the browser when it is closed. */
export async function openCleanTab(options: TabOptions = {}, allowed = /^$/): Promise<Tab> {
  const tab = await openTab(options);
  return {
    ...tab,
    async [Symbol.asyncDispose]() {
      await tab[Symbol.asyncDispose]();
      expect(tab.problems.filter((problem) => !allowed.test(problem))).toEqual([]);
    },
  };
}
