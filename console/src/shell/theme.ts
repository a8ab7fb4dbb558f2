import { useSyncExternalStore } from "react";

/** What the page looks like: as the system says, or always in one way. */
export type Theme = "system" | "light" | "dark";

const storageKey = "taskledger.theme";
const listeners = new Set<() => void>();

let theme: Theme = readTheme();
applyTheme();

function readTheme(): Theme {
  const stored = localStorage.getItem(storageKey);
  return stored === "light" || stored === "dark" ? stored : "system";
}

function applyTheme(): void {
  if (theme === "system") {
    delete document.documentElement.dataset["theme"];
  } else {
    document.documentElement.dataset["theme"] = theme;
  }
}

/** Changes the theme, and keeps it for the next visit. */
export function setTheme(next: Theme): void {
  theme = next;
  localStorage.setItem(storageKey, next);
  applyTheme();
  for (const listener of listeners) {
    listener();
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns the theme. */
export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, () => theme);
}
