import { quote } from "./problem-list.ts";

/** Returns the path of a member of a map. */
export function member(path: string, key: string): string {
  if (!/^[a-z_][\w-]{0,63}$/i.test(key)) {
    return `${path}[${quote(key)}]`;
  }
  return path ? `${path}.${key}` : key;
}
