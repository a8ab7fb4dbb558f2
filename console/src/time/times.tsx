import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { formatAgo, formatDuration, formatTime, toMs } from "./duration.ts";
import { useNow } from "./now.ts";

/** How long ago something was, with the exact time on hover. */
export function Ago({ time }: { time: Timestamp | undefined }) {
  const now = useNow();
  const ms = toMs(time);
  if (ms === undefined) {
    return <span className="muted">-</span>;
  }
  return (
    <time dateTime={new Date(ms).toISOString()} title={formatTime(ms)} className="number">
      {formatAgo(ms, now)}
    </time>
  );
}

/** How long something took, or takes so far. */
export function Duration({ start, end }: { start: Timestamp | undefined; end: Timestamp | undefined }) {
  const startMs = toMs(start);
  const endMs = toMs(end);
  const now = useNow(startMs !== undefined && endMs === undefined);
  return (
    <span className={startMs === undefined ? "muted" : "number"}>
      {startMs === undefined ? "-" : formatDuration((endMs ?? Math.max(now, startMs)) - startMs)}
    </span>
  );
}
