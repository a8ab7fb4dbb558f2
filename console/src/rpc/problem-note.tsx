import { toProblem } from "./problem.ts";

/** Tells of an error: what it says, the fields it is about, and what to quote when asking for help. */
export function ProblemNote({ error }: { error: unknown }) {
  const problem = toProblem(error);
  return (
    <div className="problem" role="alert">
      <p className="problem-message">{problem.message}</p>
      {problem.fields.length > 0 && (
        <ul>
          {problem.fields.map(({ field, description }) => (
            <li key={`${field} ${description}`}>
              <code>{field}</code> {description}
            </li>
          ))}
        </ul>
      )}
      <p className="problem-facts">
        {[problem.code, problem.reason, problem.requestId && `request ${problem.requestId}`]
          .filter(Boolean)
          .join(" · ")}
      </p>
    </div>
  );
}
