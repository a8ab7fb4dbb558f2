import "./style/tokens.css";
import "./style/base.css";
import "./style/parts.css";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createPages } from "./router.tsx";
import { SessionGate } from "./session/session-gate.tsx";

const pages = createPages();

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <SessionGate>
      <RouterProvider router={pages} />
    </SessionGate>
  </StrictMode>,
);
