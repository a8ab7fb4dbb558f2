import { useQuery } from "@connectrpc/connect-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Flow } from "../../../gen/taskledger/v1/flow_pb.ts";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";
import { ConfirmDialog } from "../dialog/confirm-dialog.tsx";
import { CopyButton } from "../rpc/copy-button.tsx";
import { GrpcurlButton } from "../rpc/grpcurl-button.tsx";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { useCall } from "../rpc/use-call.ts";
import { Graph } from "../run/graph.tsx";
import { mayEdit, useAccount } from "../session/account.tsx";
import { useTitle } from "../shell/title.ts";
import { TableSkeleton } from "../table/table-skeleton.tsx";
import { Highlighted } from "./highlighted.tsx";
import { StartDialog } from "./start-dialog.tsx";
import { Versions } from "./versions.tsx";
import "./flows.css";

const route = getRouteApi("/flows/$flowId");

/** One flow in one of its versions: its graph and its definition. */
export function FlowPage() {
  const { flowId } = route.useParams();
  const { version = 0 } = route.useSearch();
  const { data, error } = useQuery(FlowService.method.getFlow, {
    lookup: { case: "id", value: flowId },
    version,
  });
  useTitle(data?.flow?.name ?? "Flow");
  if (error !== null) {
    return <ProblemNote error={error} />;
  }
  if (data?.flow === undefined) {
    return <TableSkeleton label="flow" />;
  }
  const { flow } = data;
  return (
    <>
      <nav aria-label="Breadcrumb" className="breadcrumb">
        <Link to="/flows">Flows</Link>
      </nav>
      <div className="page-head">
        <h1>{flow.name}</h1>
        <span className="tag number">v{flow.version}</span>
        {flow.deleteTime !== undefined && <span className="tag">deleted</span>}
        <FlowActions flow={flow} isNewest={version === 0} />
      </div>
      {flow.description !== "" && <p className="flow-description muted">{flow.description}</p>}
      <div className="flow-columns">
        <div className="flow-main">
          <Graph flow={flow} />
          <section className="definition card" aria-label="Definition">
            <header>
              <h2>Definition</h2>
              <CopyButton text={flow.definition} />
            </header>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
            <section className="scroll" tabIndex={0} aria-label={`Definition of ${flow.name}`}>
              <pre>
                <Highlighted text={flow.definition} />
              </pre>
            </section>
          </section>
        </div>
        <Versions flowId={flow.id} shown={flow.version} />
      </div>
    </>
  );
}

function FlowActions({ flow, isNewest }: { flow: Flow; isNewest: boolean }) {
  const { role } = useAccount();
  const [asked, setAsked] = useState<"start" | "delete">();
  const remove = useCall(FlowService.method.deleteFlow);
  const navigate = useNavigate();
  const { id, etag } = flow;
  const edit = mayEdit(role) && flow.deleteTime === undefined;
  const close = () => setAsked(undefined);
  return (
    <div className="actions">
      <GrpcurlButton method={FlowService.method.getFlow} request={{ lookup: { case: "id", value: id } }} />
      <Link to="/runs" search={{ flow: id }} className="button">
        Runs
      </Link>
      {edit && isNewest && (
        <>
          <button type="button" className="button danger" onClick={() => setAsked("delete")}>
            Delete
          </button>
          <Link to="/flows/$flowId/edit" params={{ flowId: id }} className="button">
            Edit
          </Link>
        </>
      )}
      {edit && (
        <button type="button" className="button primary" onClick={() => setAsked("start")}>
          Start a run
        </button>
      )}
      {asked === "start" && <StartDialog flow={flow} onClose={close} />}
      {asked === "delete" && (
        <ConfirmDialog
          title={`Delete ${flow.name}?`}
          text="Nothing new will run. Its runs stay, and its name becomes free."
          action="Delete the flow"
          isDangerous
          takesReason={false}
          onConfirm={async () => {
            await remove({ id, etag });
            await navigate({ to: "/flows" });
          }}
          onClose={close}
        />
      )}
    </div>
  );
}
