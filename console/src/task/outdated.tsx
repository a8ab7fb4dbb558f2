import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";

/** What becomes stale because of a change that is not made yet. */
export function Outdated({ tasks }: { tasks: readonly TaskExecution[] }) {
  return (
    <section className="outdated" role="status">
      {tasks.length === 0 ? (
        <p>Nothing becomes stale.</p>
      ) : (
        <>
          <p>{tasks.length === 1 ? "This becomes stale:" : `These ${tasks.length} become stale:`}</p>
          <ul>
            {tasks.slice(0, 50).map((task) => (
              <li key={task.id} className="tag">
                {task.taskName} <span className="number muted">#{task.taskExecutionIdx}</span>
              </li>
            ))}
            {tasks.length > 50 && <li className="muted">and {tasks.length - 50} more</li>}
          </ul>
        </>
      )}
    </section>
  );
}
