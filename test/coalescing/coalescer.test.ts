import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Coalescer, type CoalescerLimits, type Outcome, type Unit } from "../../src/coalescing/coalescer.ts";
import { LedgerError } from "../../src/errors.ts";

const roomy: CoalescerLimits = {
  batches: 4,
  lanes: 2,
  crowd: 1,
  slowMs: 10_000,
  batchCount: 100,
  batchBytes: 1000,
  queuedCount: 1000,
  queuedBytes: 10_000,
  queuedBytesOfAll: 20_000,
};

/** A batch that is under way, and how it ends. */
interface Open {
  readonly organizationId: string;
  readonly items: readonly string[];
  readonly mayWait: boolean;
  end(outcomeOf?: (item: string) => Outcome<string>): void;
  fail(error: unknown): void;
}

/** A coalescer whose batches end when they are told to. */
function given(limits: Partial<CoalescerLimits> = {}) {
  const open: Open[] = [];
  const coalescer = new Coalescer<string, string>({
    limits: { ...roomy, ...limits },
    isCommon: (error) => error === "outage",
    process(organizationId, units, { mayWait }) {
      const items = units.map(({ item }) => item);
      const { promise, resolve, reject } = Promise.withResolvers<Outcome<string>[]>();
      const leave = () => open.splice(open.indexOf(batch), 1);
      const batch: Open = {
        organizationId,
        items,
        mayWait,
        end(outcomeOf = (item) => ({ value: `did ${item}` })) {
          leave();
          resolve(items.map(outcomeOf));
        },
        fail(error) {
          leave();
          reject(error);
        },
      };
      open.push(batch);
      return promise;
    },
  });
  const submit = (item: string, unit: Partial<Unit<string>> & { organizationId?: string } = {}) => {
    const { organizationId = "a", ...given } = unit;
    const signal = new AbortController().signal;
    const result = coalescer.submit(organizationId, {
      item,
      keys: [],
      count: 1,
      bytes: 1,
      timeoutMs: undefined,
      signal,
      ...given,
    });
    result.catch(() => undefined);
    return result;
  };
  /** Lets everything happen that does not wait for a batch. */
  const settle = async () => {
    for (let i = 0; i < 4; i++) await turn();
  };
  return { open, submit, settle };
}

describe("units of one organization", () => {
  test("go at once when nothing is under way", async () => {
    const { open, submit, settle } = given();
    const result = submit("x");
    await settle();
    expect(open).toMatchObject([{ items: ["x"], mayWait: false }]);
    open[0]!.end();
    expect(await result).toBe("did x");
  });

  test("that arrive in the same turn go together, and later ones with the next batch", async () => {
    const { open, submit, settle } = given({ lanes: 1 });
    submit("a");
    submit("b");
    await settle();
    submit("c");
    submit("d");
    await settle();
    expect(open).toMatchObject([{ items: ["a", "b"] }]);
    open[0]!.end();
    await settle();
    expect(open).toMatchObject([{ items: ["c", "d"] }]);
  });

  test("that share a key are not in two batches, and others do not wait for them", async () => {
    const { open, submit, settle } = given();
    submit("a1", { keys: ["a"] });
    await settle();
    submit("a2", { keys: ["a"] });
    submit("b", { keys: ["b"] });
    submit("ab", { keys: ["a", "b"] });
    submit("b2", { keys: ["b"] });
    await settle();
    // b2 comes after ab, which waits for a1.
    expect(open.map(({ items }) => items)).toEqual([["a1"], ["b"]]);
    open[1]!.end();
    open[0]!.end();
    await settle();
    expect(open.map(({ items }) => items)).toEqual([["a2", "ab", "b2"]]);
  });

  test("fill batches up to their limits, and a larger one goes alone", async () => {
    const { open, submit, settle } = given({ lanes: 9, batches: 9, batchCount: 3 });
    submit("a", { count: 2 });
    submit("b", { count: 2 });
    submit("c", { count: 9 });
    submit("d", { bytes: 600 });
    submit("e", { bytes: 600 });
    await settle();
    expect(open.map(({ items }) => items)).toEqual([["a"], ["b"], ["c"], ["d"], ["e"]]);
  });

  test("are not begun when nobody waits for them any more", async () => {
    const { open, submit, settle } = given({ lanes: 1 });
    submit("a");
    await settle();
    const caller = new AbortController();
    const gone = submit("b", { signal: caller.signal });
    const next = submit("c");
    caller.abort(new Error("gone"));
    open[0]!.end();
    await settle();
    expect(open).toMatchObject([{ items: ["c"] }]);
    await expect(gone).rejects.toThrow("gone");
    open[0]!.end();
    expect(await next).toBe("did c");
  });
});

describe("a further batch", () => {
  test("begins when there is enough for it", async () => {
    const { open, submit, settle } = given({ crowd: 3 });
    submit("a");
    await settle();
    submit("b");
    submit("c");
    await settle();
    expect(open.map(({ items }) => items)).toEqual([["a"]]);
    submit("d");
    await settle();
    expect(open.map(({ items }) => items)).toEqual([["a"], ["b", "c", "d"]]);
    submit("e");
    await settle();
    open[0]!.end();
    await settle();
    // One is still under way.
    expect(open.map(({ items }) => items)).toEqual([["b", "c", "d"]]);
    open[0]!.end();
    await settle();
    expect(open.map(({ items }) => items)).toEqual([["e"]]);
  });

  test("begins when those before are slow", async () => {
    const { open, submit, settle } = given({ crowd: 3, slowMs: 30 });
    submit("a");
    await settle();
    submit("b");
    await settle();
    expect(open.map(({ items }) => items)).toEqual([["a"]]);
    await expect.poll(() => open.map(({ items }) => items)).toEqual([["a"], ["b"]]);
  });
});

describe("a batch that fails", () => {
  test("is done again one by one, so that only the bad unit fails", async () => {
    const { open, submit, settle } = given();
    const results = ["a", "bad", "c"].map((item) => submit(item));
    await settle();
    open[0]!.fail("defect");
    for (let i = 0; i < 3; i++) {
      await settle();
      expect(open).toHaveLength(1);
      if (open[0]!.items[0] === "bad") open[0]!.fail("defect");
      else open[0]!.end();
    }
    expect(await Promise.allSettled(results)).toMatchObject([
      { value: "did a" },
      { reason: "defect" },
      { value: "did c" },
    ]);
  });

  test("fails all at once in an outage", async () => {
    const { open, submit, settle } = given();
    const results = ["a", "b"].map((item) => submit(item));
    await settle();
    open[0]!.fail("outage");
    await settle();
    expect(open).toEqual([]);
    expect(await Promise.allSettled(results)).toMatchObject([{ reason: "outage" }, { reason: "outage" }]);
  });
});

describe("a unit that would have to wait for others", () => {
  const lockedUnless =
    (free: (item: string) => boolean) =>
    (item: string): Outcome<string> =>
      free(item) ? { value: item } : { busy: ["k"] };

  test("waits apart, those after it with it, and nobody else", async () => {
    const { open, submit, settle } = given();
    const locked = submit("locked", { keys: ["k"] });
    const free = submit("free", { keys: ["f"] });
    await settle();
    open[0]!.end(lockedUnless((item) => item === "free"));
    expect(await free).toBe("free");
    submit("locked too", { keys: ["k"] });
    submit("free too", { keys: ["f"] });
    await settle();
    expect(open).toMatchObject([
      { items: ["locked", "locked too"], mayWait: true },
      { items: ["free too"], mayWait: false },
    ]);
    open[0]!.end();
    expect(await locked).toBe("did locked");
  });

  test("takes no more than half of the places, so that other organizations go on", async () => {
    const { open, submit, settle } = given({ batches: 2 });
    for (const organizationId of ["a", "b", "c"]) {
      submit("locked", { organizationId, keys: ["k"] });
      await settle();
      open.find((batch) => batch.organizationId === organizationId)!.end(lockedUnless(() => false));
      await settle();
    }
    expect(open).toMatchObject([{ organizationId: "a", mayWait: true }]);
    submit("free", { organizationId: "d" });
    await settle();
    expect(open).toMatchObject([{ organizationId: "a" }, { organizationId: "d", items: ["free"] }]);
  });
});

describe("organizations", () => {
  test("take turns, however much one has", async () => {
    const { open, submit, settle } = given({ batches: 1, batchCount: 1 });
    for (let i = 0; i < 5; i++) submit(`a${i}`, { organizationId: "a" });
    submit("b0", { organizationId: "b" });
    submit("c0", { organizationId: "c" });
    const order: string[] = [];
    for (await settle(); open.length > 0; await settle()) {
      order.push(...open[0]!.items);
      open[0]!.end();
    }
    expect(order).toEqual(["a0", "b0", "c0", "a1", "a2", "a3", "a4"]);
  });

  test.each<[string, Partial<CoalescerLimits>]>([
    ["things", { queuedCount: 3 }],
    ["bytes", { queuedBytes: 3 }],
    ["bytes of all", { queuedBytesOfAll: 3 }],
  ])("are refused when too many %s wait, and served again when they do not", async (_what, limits) => {
    const { open, submit, settle } = given({ lanes: 1, ...limits });
    submit("a");
    await settle();
    for (const item of ["b", "c", "d"]) submit(item);
    const refused = await submit("e").catch((error) => error);
    expect(refused).toBeInstanceOf(LedgerError);
    expect(refused).toMatchObject({ problem: "TOO_MANY_REQUESTS", facts: { retryAfterMs: 200 } });
    open[0]!.end();
    await settle();
    open[0]!.end();
    await settle();
    const served = submit("e");
    await settle();
    open[0]!.end();
    expect(await served).toBe("did e");
  });
});

// Whatever arrives and happens: each is done once, those of a key one after the other and in order.
test("every unit is done once, and in the order of its keys", async () => {
  const event = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        organizationId: fc.constantFrom("a", "b"),
        keys: fc.uniqueArray(fc.constantFrom("1", "2", "3", "4"), { maxLength: 3 }),
        count: fc.integer({ min: 1, max: 4 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        end: fc.constantFrom("ok", "busy", "defect"),
        which: fc.nat(9),
      }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 60 }), async (events) => {
      const { open, submit, settle } = given({ batchCount: 5, batches: 3 });
      const units: { organizationId: string; keys: readonly string[]; result: Promise<string> }[] = [];
      const done: number[] = [];
      const finish = (batch: Open, how: string) => {
        if (how === "defect" && batch.items.length > 1) return batch.fail("defect");
        batch.end((item) => {
          const unit = units[Number(item)]!;
          if (how === "busy" && !batch.mayWait && unit.keys.length > 0) return { busy: [...unit.keys] };
          done.push(Number(item));
          return { value: item };
        });
      };
      const expectApart = () => {
        const held = open.map(({ organizationId, items }) => [
          ...new Set(
            items.flatMap((item) => units[Number(item)]!.keys.map((key) => `${organizationId}${key}`)),
          ),
        ]);
        const all = held.flat();
        expect(new Set(all).size).toBe(all.length);
      };
      for (const each of events) {
        if ("end" in each) {
          const batch = open[each.which % Math.max(1, open.length)];
          if (batch) finish(batch, each.end);
        } else {
          units.push({ ...each, result: submit(String(units.length), each) });
        }
        await settle();
        expectApart();
      }
      for (; open.length > 0; await settle()) finish(open[0]!, "ok");
      await Promise.all(units.map(({ result }) => result));
      expect([...done].sort((a, b) => a - b)).toEqual(units.map((_, index) => index));
      for (const organizationId of ["a", "b"]) {
        for (const key of ["1", "2", "3", "4"]) {
          const ofKey = done.filter(
            (index) => units[index]!.organizationId === organizationId && units[index]!.keys.includes(key),
          );
          expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
        }
      }
    }),
    { numRuns: 300 },
  );
});
