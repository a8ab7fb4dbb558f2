import type { EntityManager } from "@mikro-orm/postgresql";
import { LedgerError } from "../errors.ts";
import type { FlowVersionKey } from "../flow/flow-plan.ts";
import { FlowVersion } from "../flow/flow-version.entity.ts";
import { checkInput } from "../flow/input-schema.ts";

/** Ends a transaction whose run has an input that was not checked yet. */
export class Unchecked extends Error {
  readonly flowVersion: number;
  readonly schema: string;

  constructor(flowVersion: number, schema: string) {
    super("the input is not checked");
    this.flowVersion = flowVersion;
    this.schema = schema;
  }
}

/**
 * Requires that the input of a run was checked, if its flow version has an input_schema.
 *
 * @param checkedVersion the version for which it was checked
 * @throws Unchecked what to check, outside of the transaction: a check may take a second and wait for others, and
 * nothing that a tenant can make slow may hold locks and a connection meanwhile
 */
export async function requireChecked(
  em: EntityManager,
  { flowId, flowVersion }: FlowVersionKey,
  checkedVersion: number | undefined,
): Promise<void> {
  if (flowVersion === checkedVersion) {
    return;
  }
  const found = await em.findOne(
    FlowVersion,
    { flowId, version: flowVersion },
    { populate: ["inputSchema"] },
  );
  const schema = found?.inputSchema;
  if (schema !== null && schema !== undefined) {
    throw new Unchecked(flowVersion, schema);
  }
}

/**
 * Refuses an input of a run that does not match the input_schema of its flow version.
 *
 * @param input canonical JSON text
 * @throws LedgerError INPUT_MISMATCH with what is wrong, and where
 */
export async function requireInput(
  organizationId: string,
  { schema }: Unchecked,
  input: string | undefined,
): Promise<void> {
  const faults = await checkInput(organizationId, schema, input);
  const [first] = faults;
  if (first !== undefined) {
    throw new LedgerError("INPUT_MISMATCH", `${first.path}: ${first.message}`, {
      violations: faults.map(({ path, message }) => ({ field: path, description: message })),
    });
  }
}
