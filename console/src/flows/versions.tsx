import { useInfiniteQuery } from "@connectrpc/connect-query";
import { Link } from "@tanstack/react-router";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";
import { byPageToken, MoreButton } from "../rpc/paging.tsx";
import { Ago } from "../time/times.tsx";

/** The versions of a flow, newest first. */
export function Versions({ flowId, shown }: { flowId: string; shown: number }) {
  const { data, hasNextPage, fetchNextPage } = useInfiniteQuery(
    FlowService.method.listFlowVersions,
    { id: flowId, pageSize: 50, pageToken: "" },
    byPageToken,
  );
  const versions = data?.pages.flatMap((page) => page.versions) ?? [];
  return (
    <section className="versions card" aria-label="Versions">
      <h2>Versions</h2>
      <ol>
        {versions.map(({ version, updateTime, modifiedBy }, index) => (
          <li key={version}>
            <Link
              to="/flows/$flowId"
              params={{ flowId }}
              search={index === 0 ? {} : { version }}
              activeOptions={{ exact: true, includeSearch: true }}
              className={version === shown ? "shown" : undefined}
            >
              <span className="number">v{version}</span>
              <span className="muted">
                <Ago time={updateTime} /> by {modifiedBy}
              </span>
            </Link>
          </li>
        ))}
      </ol>
      <MoreButton hasNextPage={hasNextPage} fetchNextPage={fetchNextPage} />
    </section>
  );
}
