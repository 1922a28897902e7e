import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { Interceptor, StreamRequest, UnaryRequest } from "@connectrpc/connect";
import type { AccessControl } from "../access/access-control.ts";
import { permissionDenied } from "../access/access-errors.ts";
import type { CallerAccess } from "../access/caller-access.ts";
import { accessOf, type MethodAccess } from "../access/method-access.ts";
import type { Role } from "../access/roles.ts";
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
    const found = accessControl.identify(header.get("authorization"), contextValues.get(peerKey));
    // Nearly always it is known already, and then there is nothing to wait for.
    return found instanceof Promise
      ? found.then((access) => enter(request, needed, access, next))
      : enter(request, needed, found, next);
  };
}

/** Goes on with a call as that of its caller, if it may make it. */
function enter(
  request: UnaryRequest | StreamRequest,
  needed: Role | undefined,
  access: CallerAccess,
  next: Parameters<Interceptor>[0],
): ReturnType<Parameters<Interceptor>[0]> {
  const { name } = access;
  request.contextValues.set(callerKey, { name, access });
  if (needed === undefined || !access.has(needed)) {
    const what = needed === undefined ? "is not served to anybody" : `needs the role ${needed}`;
    const method = `${request.service.typeName}/${request.method.name}`;
    throw permissionDenied(`${method} ${what}; ${name} has ${access.roles}`);
  }
  return next(request);
}
