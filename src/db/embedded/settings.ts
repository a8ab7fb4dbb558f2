/**
 * What the server is told at each start, so that a new release's settings reach old data.
 *
 * The log settings keep SQL text, parameters and the values in details out of the log: they hold what
 * the tenants' tasks were given and gave. The roles of the service say more: see provision.ts.
 */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: "127.0.0.1",
  // None: the path of a socket may have about 100 bytes only, which directory names exceed.
  unix_socket_directories: "",
  // PostgreSQL's default. Pages count only once they are used, and the system's cache lies behind.
  shared_buffers: "128MB",
  // Deadlocks are ended by retrying, so they should be found soon.
  deadlock_timeout: "200ms",
  // Compiling costs more than it saves in statements that take a millisecond.
  jit: "off",
  timezone: "UTC",
  log_timezone: "UTC",
  log_statement: "none",
  log_min_duration_statement: "-1",
  log_min_error_statement: "panic",
  log_error_verbosity: "terse",
  log_parameter_max_length: "0",
  log_parameter_max_length_on_error: "0",
};

/**
 * What the server is told too if its data need not survive a crash of the machine. What was committed
 * still survives the end of every process, because it is handed to the operating system.
 */
const unsafeSettings: Readonly<Record<string, string>> = {
  fsync: "off",
  full_page_writes: "off",
};

/** Returns the settings as arguments of the server's command line. */
export function settingArguments({
  port,
  fsync,
  connections,
}: {
  readonly port: number;
  readonly fsync: boolean;
  readonly connections: number;
}): string[] {
  const own = { max_connections: String(connections), port: String(port) };
  const all = { ...settings, ...(fsync ? {} : unsafeSettings), ...own };
  return Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}
