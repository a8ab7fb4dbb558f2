/** Returns a function that gathers names for a while, each once, before it passes them on together. */
export function gather(ms: number, passOn: (names: readonly string[]) => void): (name: string) => void {
  const gathered = new Set<string>();
  return (name) => {
    if (gathered.size === 0) {
      setTimeout(() => {
        const names = [...gathered];
        gathered.clear();
        passOn(names);
      }, ms).unref();
    }
    gathered.add(name);
  };
}
