import type { Recording } from "../import/recording.ts";
import { definitionOf, titleOf } from "../import/reports.ts";
import { replayExecutor } from "./replayed-task.ts";

/** Returns the name and the definition of the flow by which a recording is played. */
export function replayDefinitionOf(recording: Recording): { name: string; definition: string } {
  const name = titleOf(`Replay of ${recording.name}`);
  const definition = definitionOf(recording, {
    name,
    description: "Plays a WfFormat recording. The input says by how much time is scaled.",
    toTask: ({ facts }) => ({
      executor: replayExecutor,
      input: { seconds: facts["runtimeInSeconds"], scale: "{{input.scale}}" },
    }),
  });
  return { name, definition };
}
