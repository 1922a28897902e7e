import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import type { AccessControl } from "../access/access-control.ts";
import { permissionDenied } from "../access/access-errors.ts";
import type { CallerAccess } from "../access/caller-access.ts";
import { accessOf, type MethodAccess } from "../access/method-access.ts";
import { callerKey } from "./caller.ts";
import { peerKey } from "./peer-key.ts";

/** Finds out who makes each call, and refuses methods that are not for the caller. */
export function createAccessInterceptor(accessControl: AccessControl): Interceptor {
  const known = new Map<DescMethod, MethodAccess | undefined>();
  const neededFor = (service: DescService, method: DescMethod): MethodAccess | undefined => {
    if (!known.has(method)) {
      known.set(method, accessOf(service.typeName, method.name));
    }
    return known.get(method);
  };
  return (next) => (request) => {
    const { service, method, contextValues, header } = request;
    const needed = neededFor(service, method);
    if (needed === "everybody") {
      return next(request);
    }
    const enter = (access: CallerAccess) => {
      contextValues.set(callerKey, { name: access.name, access });
      if (needed === undefined || !access.has(needed)) {
        const what = needed === undefined ? "is not served to anybody" : `needs the role ${needed}`;
        throw permissionDenied(`${service.typeName}/${method.name} ${what}; ${access.name} has ${access.roles}`);
      }
      return next(request);
    };
    const found = accessControl.identify(header.get("authorization"), contextValues.get(peerKey));
    // Nearly always it is known already, and then there is nothing to wait for.
    return found instanceof Promise ? found.then(enter) : enter(found);
  };
}
