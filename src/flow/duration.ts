import type { Duration } from "@bufbuild/protobuf/wkt";

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads a duration such as `500ms`, `10s`, `1h30m` or `2d`, in milliseconds. Undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  if (!/^(?:[0-9]{1,9}(?:ms|s|m|h|d)){1,5}$/.test(text)) {
    return undefined;
  }
  let ms = 0;
  let last = Number.POSITIVE_INFINITY;
  for (const [, count, unit] of text.matchAll(/([0-9]+)(ms|s|m|h|d)/g)) {
    const size = units[unit!]!;
    if (size >= last) {
      // Each unit once, the larger first: 1m1h is most likely a mistake.
      return undefined;
    }
    last = size;
    ms += Number(count) * size;
  }
  return ms;
}

/** Writes milliseconds as a duration, for messages. */
export function formatDuration(ms: number): string {
  const unit = ["d", "h", "m", "s"].find((name) => ms % units[name]! === 0) ?? "ms";
  return `${ms / units[unit]!}${unit}`;
}

/** Converts a duration to milliseconds; a missing one is 0. */
export function toMs(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** Converts milliseconds to a duration, none below zero. */
export function fromMs(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.max(0, Math.floor(ms));
  return { seconds: BigInt(Math.floor(whole / 1000)), nanos: (whole % 1000) * 1e6 };
}
