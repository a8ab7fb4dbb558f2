/** Prints a line of a report. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Prints what was found against what must hold; if it does not, the script ends with an error. */
export function check(holds: boolean, finding: string): void {
  print(`${holds ? "ok  " : "FAIL"} ${finding}`);
  if (!holds) {
    process.exitCode = 1;
  }
}
