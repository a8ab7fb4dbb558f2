import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

/** Returns a time on the wire in milliseconds, undefined if there is none. */
export function toMs(time: Timestamp | undefined): number | undefined {
  return time && timestampMs(time);
}

/** Returns a duration in the two units that matter, such as "2 m 05 s". */
export function formatDuration(ms: number): string {
  if (ms < 1000) {
    return `${Math.max(0, Math.round(ms))} ms`;
  }
  if (ms < 60_000) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  const seconds = Math.round(ms / 1000);
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) {
    return `${days} d ${two(hours)} h`;
  }
  return hours > 0 ? `${hours} h ${two(minutes)} m` : `${minutes} m ${two(seconds % 60)} s`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

/** Returns a time as people of this place write it. */
export function formatTime(ms: number): string {
  return dateTime.format(ms);
}

/** Returns how long ago a time is, in one unit. */
export function formatAgo(ms: number, now: number): string {
  const seconds = Math.round((ms - now) / 1000);
  const size = Math.abs(seconds);
  if (size < 5) {
    return "now";
  }
  if (size < 60) {
    return relative.format(seconds, "second");
  }
  if (size < 3600) {
    return relative.format(Math.round(seconds / 60), "minute");
  }
  if (size < 86_400) {
    return relative.format(Math.round(seconds / 3600), "hour");
  }
  return relative.format(Math.round(seconds / 86_400), "day");
}
