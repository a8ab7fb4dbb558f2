/** How leases are kept, in milliseconds. */
export const leaseLimits = {
  /**
   * How long after its end a lease may still be used. A worker that is held up by a slow network or a restart of
   * the service keeps its work; a lost one is noticed that much later.
   */
  graceMs: 2000,
  /** How often each process looks for leases that have run out. */
  sweepMs: 1000,
  /** How many of them it looks at in one go. */
  sweepPage: 500,
} as const;
