import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { connect } from "../../src/worker/connect.ts";
import { Interruption, type Task, TaskFailure } from "../../src/worker/task.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";
import { bootstrapKey, startTestService, type TestService } from "../service.ts";
import { startRun, startWorker, transportThrough } from "./fixture.ts";

describe("a worker", () => {
  let database: TestDatabase;
  let service: TestService & AsyncDisposable;
  beforeAll(async () => {
    database = await openDatabase();
    service = await startTestService(database.serviceUrl);
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await database.close();
  });

  /** Waits until the task is told to stop, and throws why. */
  const untilInterrupted = (task: Task) =>
    new Promise<never>((_, reject) => {
      task.signal.addEventListener("abort", () => reject(task.signal.reason));
    });

  /** Counts the calls of each method. */
  function counting(): { calls: Map<string, number>; interceptor: Interceptor } {
    const calls = new Map<string, number>();
    return {
      calls,
      interceptor: (next) => (request) => {
        calls.set(request.method.name, (calls.get(request.method.name) ?? 0) + 1);
        return next(request);
      },
    };
  }

  test("does the tasks of a run, and what one gives flows to the next", async () => {
    const run = await startRun(
      service,
      `
      - {name: list, executor: w1.list}
      - {name: square, executor: w1.square, for_each: "{{list.output}}", input: {n: "{{item}}"}}
      - {name: sum, executor: w1.sum, input: "{{square.output}}"}`,
    );
    const seen: (number | undefined)[] = [];
    await using _ = startWorker(service.transport, {
      "w1.list": () => [1, 2, 3],
      "w1.square": async ({ input, iteration }) => {
        seen.push(iteration);
        return (input as { n: number }).n ** 2;
      },
      "w1.sum": ({ input }) => (input as number[]).reduce((a, b) => a + b),
    });
    expect(await run.ended()).toBe("COMPLETED");
    expect(await run.output("sum")).toBe(14);
    expect(seen.sort()).toEqual([0, 1, 2]);
  });

  test("hands in what has ended together with the claim of the next tasks: one call a round", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `t${index}`);
    const run = await startRun(service, JSON.stringify(names.map((name) => ({ name, executor: "w2" }))));
    const { calls, interceptor } = counting();
    const done: string[] = [];
    await using _ = startWorker(
      transportThrough(service, interceptor),
      { w2: ({ name }) => void done.push(name) },
      { concurrency: 10 },
    );
    expect(await run.ended()).toBe("COMPLETED");
    expect(done.sort()).toEqual(names.sort());
    // One claim to begin with, four rounds of ten, and the wait for more.
    await expect
      .poll(() => Object.fromEntries(calls))
      .toEqual({ ClaimTaskExecutions: 2, ReportTaskExecutions: 4 });
  });

  test("does no more tasks at once than it may", async () => {
    const names = Array.from({ length: 12 }, (_, index) => `t${index}`);
    const run = await startRun(service, JSON.stringify(names.map((name) => ({ name, executor: "w3" }))));
    let now = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++now);
      await sleep(5);
      now--;
    };
    await using _ = startWorker(service.transport, { w3: work }, { concurrency: 3 });
    expect(await run.ended()).toBe("COMPLETED");
    expect(most).toBe(3);
  });

  test("fails an attempt with what was thrown, and the retry policy goes on", async () => {
    const run = await startRun(
      service,
      "[{name: flaky, executor: w4, retry: {max_attempts: 2, initial_backoff: 0s}}]",
    );
    await using _ = startWorker(service.transport, {
      w4: ({ attempt }) => {
        if (attempt === 1) throw new RangeError("too far");
        return attempt;
      },
    });
    expect(await run.ended()).toBe("COMPLETED");
    const { error } = await run.get("flaky");
    expect(error).toMatchObject({ type: "RangeError", message: "too far" });
    expect(error!.traceback).toContain("worker.test.ts");
    expect(await run.output("flaky", 1)).toBe(2);
  });

  test("can say that a failure is final, or that a retry has to wait", async () => {
    const policy = "retry: {max_attempts: 3, initial_backoff: 0s}";
    const run = await startRun(
      service,
      `[{name: final, executor: w5.final, ${policy}}, {name: later, executor: w5.later, ${policy}}]`,
    );
    const worker = startWorker(service.transport, {
      "w5.final": () => {
        throw new TaskFailure("declined", { type: "CardDeclined", retryable: false });
      },
      "w5.later": () => {
        throw new TaskFailure("busy", { retryAfterMs: 3_600_000 });
      },
    });
    await using _ = worker;
    await expect.poll(() => worker.count("reported")).toBe(2);
    expect(await run.tasks()).toEqual(["final/0 FAILED", "later/0 FAILED", "later/1 QUEUED"]);
    expect((await run.get("final")).error?.type).toBe("CardDeclined");
    const { availableTime, createTime } = await run.get("later", 1);
    expect(Number(availableTime!.seconds - createTime!.seconds)).toBeGreaterThanOrEqual(3599);
  });

  test("fails a task whose output cannot be handed in, and says why; its neighbours are not in the way", async () => {
    let nested: unknown = 1;
    for (let depth = 0; depth < 200; depth++) nested = [nested];
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const outputs: Record<string, unknown> = {
      big: "x".repeat(2_000_000),
      huge: "x".repeat(5_000_000),
      nested,
      circle,
      bigint: 1n,
      nan: [Number.NaN],
      surrogate: "\ud800",
      nul: "\0",
      good: { at: new Date(0), left: undefined },
    };
    const names = Object.keys(outputs);
    const run = await startRun(service, JSON.stringify(names.map((name) => ({ name, executor: "w6" }))));
    await using _ = startWorker(service.transport, { w6: ({ name }) => outputs[name] }, { concurrency: 20 });
    expect(await run.ended()).toBe("FAILED");
    expect(await run.output("good")).toEqual({ at: "1970-01-01T00:00:00.000Z" });
    for (const name of names.filter((other) => other !== "good")) {
      const { error } = await run.get(name);
      expect(error, name).toMatchObject({ type: "InvalidOutput" });
      expect(error!.message.length, name).toBeGreaterThan(20);
    }
  });

  test("is not impressed by what is thrown", async () => {
    const thrown: Record<string, unknown> = {
      text: "just text",
      unnamed: Object.assign(new Error("odd"), { name: 7, stack: null }),
      nothing: undefined,
      long: new Error("é".repeat(200_000)),
      broken: new Error("a \ud800 b\0"),
      hostile: Object.create(null),
    };
    const names = Object.keys(thrown);
    const run = await startRun(service, JSON.stringify(names.map((name) => ({ name, executor: "w7" }))));
    await using _ = startWorker(service.transport, {
      w7: ({ name }) => {
        throw thrown[name];
      },
    });
    expect(await run.ended()).toBe("FAILED");
    expect(await run.tasks()).toEqual(names.sort().map((name) => `${name}/0 FAILED`));
    expect((await run.get("text")).error).toMatchObject({ type: "string", message: "'just text'" });
  });

  test("keeps its leases, and tells how far a task is", async () => {
    const run = await startRun(service, "[{name: long, executor: w8, lease: 1s}]");
    const began = Promise.withResolvers<Task>();
    const end = Promise.withResolvers<void>();
    await using _ = startWorker(service.transport, {
      w8: async (task) => {
        began.resolve(task);
        await end.promise;
        return "kept";
      },
    });
    const task = await began.promise;
    task.progress(0.25, "a quarter");
    const progress = async () => (await run.get("long")).lease?.progress;
    await expect.poll(progress).toMatchObject({ fraction: 0.25, message: "a quarter" });
    // Longer than the lease and the grace after it.
    await sleep(3500);
    end.resolve();
    expect(await run.ended()).toBe("COMPLETED");
    expect(await run.tasks()).toEqual(["long/0 COMPLETED"]);
  });

  // A third of what was left of the lease was the deadline of the call, with a fraction, which no service takes.
  test("keeps a lease of some seconds: its heartbeats are taken", async () => {
    const run = await startRun(service, "[{name: long, executor: w30, lease: 6s}]");
    const { promise, resolve } = Promise.withResolvers<void>();
    await using watched = startWorker(connect(service.origin, bootstrapKey), {
      w30: async (task) => {
        task.progress(0.5, "half");
        await promise;
      },
    });
    const { count } = watched;
    await expect
      .poll(async () => count("trouble") > 0 || (await run.get("long")).lease?.progress?.message, {
        timeout: 10_000,
      })
      .toBe("half");
    expect(count("trouble")).toBe(0);
    resolve();
    expect(await run.ended()).toBe("COMPLETED");
  });

  test("stops a task that is cancelled, and reports it cancelled", async () => {
    const run = await startRun(service, "[{name: long, executor: w9, lease: 1s}]");
    const began = Promise.withResolvers<Task>();
    await using _ = startWorker(service.transport, {
      w9: (task) => {
        began.resolve(task);
        return untilInterrupted(task);
      },
    });
    const { id, signal } = await began.promise;
    await service.client(TaskExecutionService).cancelTaskExecution({ id });
    expect(await run.ended()).toBe("CANCELLED");
    expect(signal.reason).toMatchObject({ kind: "cancel-requested" });
  });

  test("stops a task whose lease is lost; what it gives nevertheless is kept as a late result", async () => {
    const run = await startRun(service, "[{name: long, executor: w10, lease: 1s}]");
    const first = Promise.withResolvers<Task>();
    const end = Promise.withResolvers<string>();
    const worker = startWorker(service.transport, {
      w10: (task) => {
        if (task.attempt > 1) return "new";
        first.resolve(task);
        return end.promise;
      },
    });
    await using _ = worker;
    const { id, signal } = await first.promise;
    await asSuperuser(
      database.superuserUrl,
      "update task_lease set expire_time = expire_time - interval '1 hour' where task_execution_id = $1",
      [id],
    );
    expect(await run.ended()).toBe("COMPLETED");
    await expect.poll(() => signal.aborted).toBe(true);
    expect(signal.reason).toBeInstanceOf(Interruption);
    expect(signal.reason.kind).toBe("lease-lost");
    end.resolve("late");
    await expect.poll(() => worker.count("refused")).toBe(1);
    expect(await run.output("long", 1)).toBe("new");
    expect((await run.get("long")).error?.type).toBe("LeaseExpired");
  });

  test("stops a task by its own clock before the lease ends if no heartbeat gets through", async () => {
    await startRun(service, "[{name: long, executor: w11, lease: 1500ms}]");
    const cutOff: Interceptor = (next) => (request) => {
      if (request.method.name !== "HeartbeatTaskExecutions") return next(request);
      throw new ConnectError("the network is gone", Code.Unavailable);
    };
    const began = Promise.withResolvers<number>();
    const stopped = Promise.withResolvers<number>();
    const worker = startWorker(
      transportThrough(service, cutOff),
      {
        w11: async (task) => {
          began.resolve(performance.now());
          await untilInterrupted(task).finally(() => stopped.resolve(performance.now()));
        },
      },
      // Cannot take the next attempt as well.
      { concurrency: 1 },
    );
    const took = (await stopped.promise) - (await began.promise);
    await worker.worker.stop(0);
    expect(worker.count("lost")).toBe(1);
    expect(worker.count("trouble")).toBeGreaterThan(0);
    expect(took).toBeGreaterThan(500);
    expect(took).toBeLessThan(1500);
  });

  test("ends an attempt that takes longer than it may", async () => {
    const run = await startRun(service, "[{name: slow, executor: w12, timeout: 1s}]");
    await using _ = startWorker(service.transport, { w12: untilInterrupted });
    expect(await run.ended()).toBe("FAILED");
    expect((await run.get("slow")).error?.type).toBe("Timeout");
  });

  test("whose calls are answered into the void does each task once", async () => {
    const names = Array.from({ length: 20 }, (_, index) => `t${index}`);
    const run = await startRun(service, JSON.stringify(names.map((name) => ({ name, executor: "w13" }))));
    const calls = new Map<string, number>();
    /** Loses every second answer of each method: the service has done its work. */
    const loses: Interceptor = (next) => async (request) => {
      const answer = await next(request);
      const count = calls.get(request.method.name) ?? 0;
      calls.set(request.method.name, count + 1);
      if (count % 2 === 0) throw new ConnectError("the answer is lost", Code.Unavailable);
      return answer;
    };
    const done: string[] = [];
    const worker = startWorker(
      transportThrough(service, loses),
      { w13: ({ name }) => void done.push(name) },
      { concurrency: 5 },
    );
    await using _ = worker;
    expect(await run.ended()).toBe("COMPLETED");
    expect(done.sort()).toEqual(names.sort());
    await expect.poll(() => worker.count("reported")).toBe(20);
    expect(worker.count("refused")).toBe(0);
    expect(worker.count("trouble")).toBeGreaterThanOrEqual(5);
  });

  test("that stops lets go what is nearly done, and hands the rest back to others", async () => {
    const run = await startRun(service, "[{name: quick, executor: w14}, {name: long, executor: w14}]");
    const began = new Set<string>();
    const quick = Promise.withResolvers<string>();
    const work = (task: Task) => {
      began.add(task.name);
      return task.name === "quick" ? quick.promise : untilInterrupted(task);
    };
    const first = startWorker(service.transport, { w14: work });
    await expect.poll(() => began.size).toBe(2);
    const stopped = first.worker.stop(300);
    quick.resolve("done");
    await stopped;
    await first.worker.closed;
    expect(await run.tasks()).toEqual(["long/0 FAILED", "long/1 QUEUED", "quick/0 COMPLETED"]);
    await using _ = startWorker(service.transport, { w14: ({ attempt }) => attempt });
    expect(await run.ended()).toBe("COMPLETED");
    expect(await run.output("long", 1)).toBe(2);
    expect((await run.get("long", 1)).interruptions).toBe(1);
  });

  test("that stops does not wait for an executor that does not listen", async () => {
    const run = await startRun(service, "[{name: deaf, executor: w15}]");
    const began = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    const deaf = startWorker(service.transport, {
      w15: async () => {
        began.resolve();
        await end.promise;
      },
    });
    await began.promise;
    await deaf.worker.stop(0);
    end.resolve();
    expect(await run.tasks()).toEqual(["deaf/0 FAILED", "deaf/1 QUEUED"]);
  });

  test("that stops while it waits hands back what it was given in that moment", async () => {
    const answered = Promise.withResolvers<void>();
    let lost = 0;
    /** Keeps the answer of the first claim back until the worker has gone away from it. */
    const keepsBack: Interceptor = (next) => async (request) => {
      const answer = await next(request);
      if (request.method.name === "ClaimTaskExecutions" && lost++ === 0) {
        answered.resolve();
        await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        request.signal.throwIfAborted();
      }
      return answer;
    };
    const run = await startRun(service, "[{name: one, executor: w16}, {name: two, executor: w16}]");
    const { worker } = startWorker(
      transportThrough(service, keepsBack),
      { w16: () => "never" },
      { concurrency: 1 },
    );
    await answered.promise;
    await worker.stop();
    // The second one was not claimed by the question.
    expect((await run.tasks()).toSorted()).toEqual(["one/0 FAILED", "one/1 QUEUED", "two/0 QUEUED"]);
  });

  test("whose key is not known ends, and says so", async () => {
    const { worker } = startWorker(connect(service.origin, `${bootstrapKey}x`), { w17: () => 0 });
    await expect(worker.closed).rejects.toMatchObject({ code: Code.Unauthenticated });
  });
});
