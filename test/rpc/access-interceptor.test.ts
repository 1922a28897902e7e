import { createContextValues } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { CallerAccess } from "../../src/access/caller-access.ts";
import type { Role } from "../../src/access/roles.ts";
import { createAccessInterceptor } from "../../src/rpc/access-interceptor.ts";
import { anonymous, type Caller, callerKey } from "../../src/rpc/caller.ts";

/** Who the handler sees when a caller with a role, or one that nobody knows, calls a method. */
async function callerOf(service: string, method: string, role: Role | undefined, stream: boolean): Promise<Caller> {
  const interceptor = createAccessInterceptor({
    identify: () => {
      if (!role) throw new Error("nobody knows the caller");
      return new CallerAccess("ada", [{ role }]);
    },
  });
  let seen: Caller | undefined;
  const request = {
    stream,
    service: { typeName: service },
    method: { name: method },
    header: new Headers(),
    contextValues: createContextValues(),
  };
  const next = async ({ contextValues }: { contextValues: typeof request.contextValues }) => {
    seen = contextValues.get(callerKey);
  };
  await interceptor(next as never)(request as never);
  if (!seen) throw new Error("the handler was not called");
  return seen;
}

describe.each([
  ["a unary call", false],
  ["a stream", true],
])("%s", (_kind, stream) => {
  test("to health asks nobody who is there", async () => {
    for (const method of ["Check", "Watch", "List"]) {
      expect(await callerOf("grpc.health.v1.Health", method, undefined, stream)).toBe(anonymous);
    }
  });

  test.each(["v1", "v1alpha"])("to reflection %s is for viewers", async (version) => {
    const service = `grpc.reflection.${version}.ServerReflection`;
    const call = (role?: Role) => callerOf(service, "ServerReflectionInfo", role, stream);
    expect(await call("viewer")).toMatchObject({ name: "ada" });
    await expect(call()).rejects.toThrow("nobody knows the caller");
  });

  test("is refused when its role is too small, naming role and method", async () => {
    const call = callerOf("longhaul.v1.OperationsService", "DeleteOperation", "operator", stream);
    await expect(call).rejects.toMatchObject({
      reason: "PERMISSION_DENIED",
      message: "longhaul.v1.OperationsService/DeleteOperation needs the role admin; ada has operator",
    });
  });

  test("to a method that is not in the table is refused even for admins", async () => {
    for (const [service, method] of [
      ["longhaul.v1.OperationsService", "NewMethod"],
      ["longhaul.v2.OperationsService", "GetOperation"],
      ["", "constructor"],
    ] as const) {
      await expect(callerOf(service, method, "admin", stream)).rejects.toMatchObject({
        reason: "PERMISSION_DENIED",
        message: expect.stringContaining("is not served to anybody"),
      });
    }
  });
});
