import { type RefObject, useLayoutEffect, useState } from "react";

/**
 * Returns how far below the top of the page an element begins: where the rows of a virtual list begin.
 *
 * @param trigger measures again when it changes, since what stands above may have changed with it
 */
export function useDistanceFromTop(element: RefObject<HTMLElement | null>, trigger: unknown): number {
  const [distance, setDistance] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: that is what the trigger is for
  useLayoutEffect(() => {
    setDistance((element.current?.getBoundingClientRect().top ?? 0) + window.scrollY);
  }, [element, trigger]);
  return distance;
}
