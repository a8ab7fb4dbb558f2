import { createRootRoute, createRoute, createRouter, Link, redirect } from "@tanstack/react-router";
import { ProblemNote } from "./rpc/problem-note.tsx";
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
    routeTree: root.addChildren([home, runs]),
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
