import { describe, expect, test } from "vitest";
import { services } from "../../src/app.ts";
import type { Role } from "../../src/auth/caller.ts";
import { roles } from "../../src/auth/caller.ts";
import { rolesFor } from "../../src/auth/permissions.ts";

describe("permissions", () => {
  const methods = services.flatMap((service) => service.methods.map((method) => [service, method] as const));

  test("name every method, and let administrators of the organization call all but one", () => {
    for (const [service, method] of methods) {
      const allowed = rolesFor(service.typeName, method.localName);
      expect(allowed, method.name).toContain("platform_admin");
      expect(allowed.includes("admin"), method.name).toBe(method.localName !== "createOrganization");
    }
  });

  test("let nobody call a method that is not known", () => {
    expect(rolesFor("taskledger.v1.TaskExecutionService", "eraseEverything")).toEqual([]);
  });

  const mayCall: Record<Exclude<Role, "admin" | "platform_admin">, string[]> = {
    worker: [
      "createTaskExecution",
      "batchCreateTaskExecutions",
      "ingestTaskExecutions",
      "claimTaskExecutions",
      "heartbeatTaskExecutions",
      "reportTaskExecutions",
      "createFlowExecution",
      "getOrganization",
    ],
    viewer: methods.map(([, { localName }]) => localName).filter(isRead),
    editor: methods
      .map(([, { localName }]) => localName)
      .filter(
        (name) => isRead(name) || /^(update|cancel|delete|undelete|adopt|reExecute|createFlow)/.test(name),
      ),
  };
  for (const role of roles) {
    if (role === "admin" || role === "platform_admin") continue;
    test(`${role} may call what its description says and no more`, () => {
      const allowed = methods.filter(([service, method]) =>
        rolesFor(service.typeName, method.localName).includes(role),
      );
      expect(allowed.map(([, { localName }]) => localName).sort()).toEqual(mayCall[role].sort());
    });
  }
});

function isRead(name: string): boolean {
  return /^(get|batchGet|list|validate|wait|watch)/.test(name) && name !== "listApiKeys";
}
