import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // gen/ lies beside this package and would otherwise bring the copies of the service along.
  resolve: { dedupe: ["@bufbuild/protobuf", "@bufbuild/protovalidate"] },
  server: {
    // `npm run dev` with the service at its usual port.
    proxy: { "^/[\\w.]+\\.\\w+/\\w+$": "http://127.0.0.1:8080" },
    fs: { allow: [".."] },
  },
  build: {
    target: "es2023",
    // The content security policy lets nothing in that is not a file of ours.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Read by the check of the size.
    manifest: "manifest.json",
  },
});
