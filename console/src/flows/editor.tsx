import { type KeyboardEvent, useId, useRef } from "react";
import type { DefinitionProblem } from "../../../gen/taskledger/v1/flow_pb.ts";
import { Highlighted } from "./highlighted.tsx";

interface EditorProps {
  readonly text: string;
  readonly onChange: (text: string) => void;
  readonly problems: readonly DefinitionProblem[];
  /** What the list of problems says when there are none. */
  readonly verdict: string;
}

/**
 * An editor of definitions: a text area over its own text in colours, so that the browser does all the editing.
 *
 * Tab indents; Escape and then Tab leaves.
 */
export function Editor({ text, onChange, problems, verdict }: EditorProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const escaped = useRef(false);
  const problemsId = useId();

  function indent(event: KeyboardEvent<HTMLTextAreaElement>): void {
    if (event.key === "Tab" && !event.shiftKey && !escaped.current) {
      event.preventDefault();
      // Unlike setting the value this can be undone.
      document.execCommand("insertText", false, "  ");
    }
    escaped.current = event.key === "Escape";
  }

  function goTo({ line, column }: DefinitionProblem): void {
    const before = text.split("\n").slice(0, line - 1);
    const position = before.reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
    area.current?.focus();
    area.current?.setSelectionRange(position, position);
  }

  return (
    <div className="editor card">
      <div className="editor-scroll">
        <pre className="editor-gutter" aria-hidden="true">
          {text.split("\n").map((_, index) => {
            const isWrong = problems.some(({ line }) => line === index + 1);
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: a line is known by nothing but its number
              <span key={index} className={isWrong ? "gutter-wrong" : undefined}>
                {`${index + 1}\n`}
              </span>
            );
          })}
        </pre>
        <div className="editor-text">
          <pre aria-hidden="true">
            <Highlighted text={text} marks={problems} />
          </pre>
          <textarea
            ref={area}
            aria-label="Definition in YAML. Tab indents; Escape, then Tab leaves."
            aria-describedby={problemsId}
            aria-invalid={problems.length > 0}
            value={text}
            spellCheck={false}
            autoCapitalize="off"
            wrap="off"
            onKeyDown={indent}
            onChange={({ target }) => onChange(target.value)}
          />
        </div>
      </div>
      <div id={problemsId} className="editor-problems" role="status">
        {problems.length === 0 ? (
          <p className="muted">{verdict}</p>
        ) : (
          <ul>
            {problems.slice(0, 50).map((problem) => (
              <li key={`${problem.line}:${problem.column} ${problem.message}`}>
                <button type="button" onClick={() => goTo(problem)}>
                  <span className="number">
                    {problem.line}:{problem.column}
                  </span>{" "}
                  {problem.message}
                </button>
              </li>
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}
