import { useQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { DefinitionProblem } from "../../../gen/taskledger/v1/flow_pb.ts";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";

/** How long nobody types before the text is checked. */
const pauseMs = 250;

/** What the service says about a definition. */
export interface Check {
  readonly problems: readonly DefinitionProblem[];
  /** Whether it says so of the text as it is now. */
  readonly isCurrent: boolean;
  readonly levels: number;
}

/** Has a definition checked whenever somebody stops typing. */
export function useProblems(definition: string): Check {
  const [settled, setSettled] = useState(definition);
  useEffect(() => {
    const timer = setTimeout(setSettled, pauseMs, definition);
    return () => clearTimeout(timer);
  }, [definition]);
  const { data, isPlaceholderData } = useQuery(
    FlowService.method.validateFlow,
    { definition: settled },
    { placeholderData: keepPreviousData, gcTime: 10_000 },
  );
  return {
    problems: data?.problems ?? [],
    levels: data?.levels.length ?? 0,
    isCurrent: data !== undefined && !isPlaceholderData && settled === definition,
  };
}
