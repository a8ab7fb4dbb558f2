import { useQuery } from "@connectrpc/connect-query";
import { getRouteApi, Link, useBlocker, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Flow } from "../../../gen/taskledger/v1/flow_pb.ts";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { useCall } from "../rpc/use-call.ts";
import { useTitle } from "../shell/title.ts";
import { TableSkeleton } from "../table/table-skeleton.tsx";
import { Editor } from "./editor.tsx";
import { useProblems } from "./use-problems.ts";
import "./flows.css";

const route = getRouteApi("/flows/$flowId/edit");

const template = `name: hello
description: What this flow is for.
tasks:
  - name: extract
    input:
      day: "{{input.day}}"
  - name: load
    input:
      rows: "{{extract.output.rows}}"
`;

/** Makes a flow. */
export function NewFlowPage() {
  return <EditForm flow={undefined} />;
}

/** Makes a new version of a flow. */
export function EditFlowPage() {
  const { flowId } = route.useParams();
  const { data, error } = useQuery(
    FlowService.method.getFlow,
    { lookup: { case: "id", value: flowId } },
    // What is being edited does not change under one's hands; the etag says when somebody was quicker.
    { staleTime: Number.POSITIVE_INFINITY, gcTime: 0 },
  );
  if (error !== null) {
    return <ProblemNote error={error} />;
  }
  return data?.flow === undefined ? <TableSkeleton label="definition" /> : <EditForm flow={data.flow} />;
}

function EditForm({ flow: loaded }: { flow: Flow | undefined }) {
  const [flow] = useState(loaded);
  const original = flow?.definition ?? template;
  const [text, setText] = useState(original);
  const [error, setError] = useState<unknown>();
  const [isSaved, setSaved] = useState(false);
  const { problems, isCurrent, levels } = useProblems(text);
  const create = useCall(FlowService.method.createFlow);
  const update = useCall(FlowService.method.updateFlow);
  const navigate = useNavigate();
  useTitle(flow === undefined ? "New flow" : `Edit ${flow.name}`);
  useBlocker({
    shouldBlockFn: () => !isSaved && text !== original && !window.confirm("Leave without saving?"),
    enableBeforeUnload: () => !isSaved && text !== original,
  });

  async function save(): Promise<void> {
    try {
      const answer =
        flow === undefined
          ? await create({ definition: text })
          : await update({ id: flow.id, etag: flow.etag, definition: text });
      setSaved(true);
      await navigate({ to: "/flows/$flowId", params: { flowId: answer.flow!.id }, ignoreBlocker: true });
    } catch (thrown) {
      setError(thrown);
    }
  }

  const verdict = isCurrent
    ? `No problems. ${levels} ${levels === 1 ? "step" : "steps"} one after the other.`
    : "Checking…";
  return (
    <>
      <nav aria-label="Breadcrumb" className="breadcrumb">
        <Link to="/flows">Flows</Link>
        {flow !== undefined && (
          <>
            {" / "}
            <Link to="/flows/$flowId" params={{ flowId: flow.id }}>
              {flow.name}
            </Link>
          </>
        )}
      </nav>
      <div className="page-head">
        <h1>{flow === undefined ? "New flow" : `Edit ${flow.name}`}</h1>
        <div className="actions">
          <button
            type="button"
            className="button primary"
            disabled={!isCurrent || problems.length > 0}
            onClick={save}
          >
            {flow === undefined ? "Create" : `Save as v${flow.version + 1}`}
          </button>
        </div>
      </div>
      {error !== undefined && <ProblemNote error={error} />}
      <Editor text={text} onChange={setText} problems={problems} verdict={verdict} />
    </>
  );
}
