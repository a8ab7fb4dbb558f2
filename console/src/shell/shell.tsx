import { Link, Outlet } from "@tanstack/react-router";
import { ConnectionBanner } from "../live/connection-banner.tsx";
import { CallsDrawer } from "../rpc/calls-drawer.tsx";
import { AccountMenu } from "./account-menu.tsx";
import { Mark } from "./mark.tsx";
import { ThemeButton } from "./theme-button.tsx";
import "./shell.css";

/** What is around every page: where one is, whose data these are, and whether they are live. */
export function Shell() {
  return (
    <>
      <a href="#main" className="skip-link">
        Skip to the content
      </a>
      <header className="top-bar">
        <Link to="/runs" className="home-link" aria-label="Taskledger, to the runs">
          <Mark />
        </Link>
        <nav aria-label="Main" className="main-nav">
          <Link to="/runs">Runs</Link>
          <Link to="/flows">Flows</Link>
        </nav>
        <div className="top-tools">
          <CallsDrawer />
          <ThemeButton />
          <AccountMenu />
        </div>
      </header>
      <ConnectionBanner />
      <main id="main" tabIndex={-1} className="page">
        <Outlet />
      </main>
    </>
  );
}
