import { useRouter } from "@tanstack/react-router";
import type { MouseEvent, ReactNode } from "react";

/**
 * The link of a row, which the whole row follows.
 *
 * Lighter than the router's own, which works out for each link whether it leads to where one is: a table that
 * scrolls makes twenty of them in a frame.
 */
export function RowLink({ href, children }: { href: string; children: ReactNode }) {
  const { history } = useRouter();
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (isPlain) {
      event.preventDefault();
      history.push(href);
    }
  };
  return (
    <a href={href} className="row-link" onClick={follow}>
      {children}
    </a>
  );
}
