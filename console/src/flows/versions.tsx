import { useInfiniteQuery } from "@connectrpc/connect-query";
import { Link } from "@tanstack/react-router";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";
import { Ago } from "../time/times.tsx";

/** The versions of a flow, newest first. */
export function Versions({ flowId, shown }: { flowId: string; shown: number }) {
  const { data, hasNextPage, fetchNextPage } = useInfiniteQuery(
    FlowService.method.listFlowVersions,
    { id: flowId, pageSize: 50, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: ({ nextPageToken }) => nextPageToken || undefined },
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
      {hasNextPage && (
        <button type="button" className="button small" onClick={() => void fetchNextPage()}>
          Show more
        </button>
      )}
    </section>
  );
}
