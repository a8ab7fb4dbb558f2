import type { AddressInfo } from "node:net";

/** What a process that serves tells the first one: that it does, and where. */
export interface Serving {
  readonly type: "serving";
  readonly address: AddressInfo;
}

/** What the first process tells those that serve. */
export type Order =
  | { readonly type: "drain" }
  /** To show a text in place of the console. */
  | { readonly type: "notice"; readonly text: string }
  /** To show the console as it is on the disk now. */
  | { readonly type: "show" };
