import { useConnection } from "./connection.ts";
import "./connection-banner.css";

/** Says that what is shown may be old, as long as the connection is lost. */
export function ConnectionBanner() {
  const lost = useConnection() === "reconnecting";
  return (
    <div role="status" className={lost ? "connection-banner" : undefined}>
      {lost && "Connection lost. Reconnecting; what you see may be out of date."}
    </div>
  );
}
