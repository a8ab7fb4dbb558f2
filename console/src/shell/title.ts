import { useEffect } from "react";

/** Gives the page its title, by which tabs, histories and screen readers tell it apart. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Taskledger`;
  }, [title]);
}
