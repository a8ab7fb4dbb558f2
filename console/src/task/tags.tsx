import { type FormEvent, useState } from "react";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskTagOperation_Action as Action,
  TaskExecutionService,
} from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { useCall } from "../rpc/use-call.ts";
import { mayEdit, useAccount } from "../session/account.tsx";

/** The tags of a task execution; whoever may edit adds and removes them. */
export function Tags({ task: { id, tags } }: { task: TaskExecution }) {
  const { role } = useAccount();
  const [tag, setTag] = useState("");
  const [error, setError] = useState<unknown>();
  const update = useCall(TaskExecutionService.method.updateTaskTags);

  async function apply(action: Action, changed: string): Promise<void> {
    try {
      await update({ operations: [{ action, id, tag: changed }] });
      setTag("");
      setError(undefined);
    } catch (thrown) {
      setError(thrown);
    }
  }

  function add(event: FormEvent): void {
    event.preventDefault();
    if (tag.trim() !== "") {
      void apply(Action.ADD, tag.trim());
    }
  }

  return (
    <section className="side-panel card" aria-label="Tags">
      <h2>Tags</h2>
      {tags.length === 0 && <p className="muted">None.</p>}
      <ul className="tags">
        {tags.map((each) => (
          <li key={each.tag} className="tag" title={JSON.stringify(each.metadata)}>
            {each.tag}
            {mayEdit(role) && (
              <button
                type="button"
                aria-label={`Remove ${each.tag}`}
                onClick={() => void apply(Action.REMOVE, each.tag)}
              >
                ×
              </button>
            )}
          </li>
        ))}
      </ul>
      {mayEdit(role) && (
        <form onSubmit={add} className="tag-form">
          <input
            aria-label="New tag: a word, or key:value"
            placeholder="key:value"
            value={tag}
            maxLength={200}
            onChange={({ target }) => setTag(target.value)}
          />
          <button type="submit" className="button">
            Add
          </button>
        </form>
      )}
      {error !== undefined && <ProblemNote error={error} />}
    </section>
  );
}
