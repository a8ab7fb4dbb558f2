import {
  createRootRoute,
  createRoute,
  createRouter,
  Link,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { ProblemNote } from "./rpc/problem-note.tsx";
import { readRunSearch } from "./run/run-view.ts";
import { readRunFilter } from "./runs/run-filter.ts";
import { RunsPage } from "./runs/runs-page.tsx";
import { Shell } from "./shell/shell.tsx";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/runs" });
  },
});

const runs = createRoute({
  getParentRoute: () => root,
  path: "/runs",
  validateSearch: readRunFilter,
  component: RunsPage,
});

const run = createRoute({
  getParentRoute: () => root,
  path: "/runs/$runId",
  validateSearch: readRunSearch,
  component: lazyRouteComponent(() => import("./run/run-page.tsx"), "RunPage"),
});

const task = createRoute({
  getParentRoute: () => root,
  path: "/tasks/$taskId",
  component: lazyRouteComponent(() => import("./task/task-page.tsx"), "TaskPage"),
});

const flows = createRoute({
  getParentRoute: () => root,
  path: "/flows",
  component: lazyRouteComponent(() => import("./flows/flows-page.tsx"), "FlowsPage"),
});

const newFlow = createRoute({
  getParentRoute: () => root,
  path: "/flows/new",
  component: lazyRouteComponent(() => import("./flows/edit-page.tsx"), "NewFlowPage"),
});

const flow = createRoute({
  getParentRoute: () => root,
  path: "/flows/$flowId",
  validateSearch: ({ version }: Readonly<Record<string, unknown>>): { readonly version?: number } =>
    Number.isInteger(version) && Number(version) > 0 ? { version: Number(version) } : {},
  component: lazyRouteComponent(() => import("./flows/flow-page.tsx"), "FlowPage"),
});

const editFlow = createRoute({
  getParentRoute: () => root,
  path: "/flows/$flowId/edit",
  component: lazyRouteComponent(() => import("./flows/edit-page.tsx"), "EditFlowPage"),
});

function NotFound() {
  return (
    <div className="empty">
      <h1>There is no such page</h1>
      <Link to="/runs" className="button">
        To the runs
      </Link>
    </div>
  );
}

/** The pages. Those that are not the first to be seen are loaded when they are asked for. */
export function createPages() {
  return createRouter({
    routeTree: root.addChildren([home, runs, run, task, flows, newFlow, flow, editFlow]),
    defaultErrorComponent: ProblemNote,
    defaultPreload: "intent",
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createPages>;
  }
}
