import { Fragment } from "react";
import { highlight, type Mark } from "./highlight.ts";

/** YAML in colours, with some places marked. */
export function Highlighted({ text, marks = [] }: { text: string; marks?: readonly Mark[] }) {
  return text.split("\n").map((line, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: a line is known by nothing but its number
    <Fragment key={index}>
      {highlight(
        line,
        marks.filter((mark) => mark.line === index + 1),
      ).map(({ text: part, kind, start }) => (
        <span key={start} className={`yaml-${kind}`}>
          {part}
        </span>
      ))}
      {"\n"}
    </Fragment>
  ));
}
