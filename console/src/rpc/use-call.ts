import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { callUnaryMethod } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { pokeWatches } from "../live/use-watch.ts";
import { useAccount } from "../session/account.tsx";

/** Returns a function that calls a method which changes something, and then has everything on the page looked at anew. */
export function useCall<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodUnary<Input, Output>,
): (request: MessageInitShape<Input>) => Promise<MessageShape<Output>> {
  const { transport } = useAccount();
  const client = useQueryClient();
  return useCallback(
    async (request) => {
      const response = await callUnaryMethod(transport, method, request);
      pokeWatches();
      void client.invalidateQueries();
      return response;
    },
    [transport, client, method],
  );
}
