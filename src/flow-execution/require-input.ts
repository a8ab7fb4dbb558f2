import type { EntityManager } from "@mikro-orm/postgresql";
import { LedgerError } from "../errors.ts";
import type { FlowVersionKey } from "../flow/flow-plan.ts";
import { FlowVersion } from "../flow/flow-version.entity.ts";
import { checkInput } from "../flow/input-schema.ts";

/**
 * Refuses an input of a run that does not match the input_schema of its flow version.
 *
 * It may wait for a second, and for others: nothing that a tenant can make slow belongs in a transaction.
 *
 * @param input canonical JSON text
 * @throws LedgerError INPUT_MISMATCH with what is wrong, and where
 */
export async function requireInput(
  em: EntityManager,
  organizationId: string,
  { flowId, flowVersion }: FlowVersionKey,
  input: string | undefined,
): Promise<void> {
  const found = await em.findOne(
    FlowVersion,
    { flowId, version: flowVersion },
    { populate: ["inputSchema"] },
  );
  if (found === null || found.inputSchema === null || found.inputSchema === undefined) {
    return;
  }
  const json = input === undefined ? undefined : JSON.parse(input);
  const faults = await checkInput(organizationId, found.inputSchema, json);
  const [first] = faults;
  if (first !== undefined) {
    throw new LedgerError("INPUT_MISMATCH", `${first.path}: ${first.message}`, {
      violations: faults.map(({ path, message }) => ({ field: path, description: message })),
    });
  }
}
