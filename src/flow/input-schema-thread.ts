import { parentPort } from "node:worker_threads";
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import type { Json } from "../template/json.ts";
import { ready } from "./check-thread.ts";

// Runs in a thread of its own: a schema is written by a tenant, and a pattern in it may take for ever.

/** What a thread is asked: whether a schema is one, or what is wrong with an input. */
export type Question = { readonly schema: string; readonly input?: string | null };

/** Something in an input that does not match. */
export interface InputFault {
  /** Such as `input.rows[3].name`. */
  readonly path: string;
  readonly message: string;
}

/** What a thread answers: why the schema is none, or what is wrong with the input. */
export type Answer = { readonly schemaFault: string } | { readonly faults: readonly InputFault[] };

/** How many faults are told. */
const mostFaults = 20;

/** Answers one question. */
export function answer({ schema, input }: Question): Answer {
  // `format` says what a text means and checks nothing, as JSON Schema has it by default.
  const ajv = new Ajv2020({
    allErrors: false,
    // Words that mean nothing are mistakes; what is merely unusual is not.
    strict: true,
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    ownProperties: true,
    validateFormats: false,
  });
  try {
    const validate = ajv.compile(JSON.parse(schema));
    if (input === undefined) {
      return { faults: [] };
    }
    if (input === null) {
      const message = "is missing; the flow's input_schema describes it";
      return { faults: [{ path: "input", message }] };
    }
    validate(JSON.parse(input) as Json);
    return { faults: (validate.errors ?? []).slice(0, mostFaults).map(toFault) };
  } catch (error) {
    return { schemaFault: (error as Error).message.slice(0, 400) };
  }
}

function toFault({ instancePath, message = "does not match", params }: ErrorObject): InputFault {
  const steps = instancePath.split("/").slice(1);
  const path = steps
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((step) => (/^[0-9]+$/.test(step) ? `[${step}]` : `.${step}`))
    .join("");
  const more =
    "additionalProperty" in params ? ` (${String(params["additionalProperty"]).slice(0, 80)})` : "";
  return { path: `input${path}`.slice(0, 256), message: `${message}${more}` };
}

parentPort?.on("message", (question: Question) => parentPort!.postMessage(answer(question)));
parentPort?.postMessage(ready);
