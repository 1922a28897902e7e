import type { Interceptor } from "@connectrpc/connect";
import type { AccessControl } from "../access/access-control.ts";
import { permissionDenied } from "../access/access-errors.ts";
import { accessOf } from "../access/method-access.ts";
import { callerKey } from "./caller.ts";
import { peerKey } from "./peer-key.ts";

/** Finds out who makes each call, and refuses methods that are not for the caller. */
export function createAccessInterceptor(accessControl: AccessControl): Interceptor {
  return (next) => async (request) => {
    const { service, method, contextValues, header } = request;
    const needed = accessOf(service.typeName, method.name);
    if (needed === "everybody") {
      return next(request);
    }
    const access = await accessControl.identify(header.get("authorization"), contextValues.get(peerKey).certificate);
    contextValues.set(callerKey, { name: access.name, access });
    if (needed === undefined || !access.has(needed)) {
      const what = needed === undefined ? "is not served to anybody" : `needs the role ${needed}`;
      throw permissionDenied(`${service.typeName}/${method.name} ${what}; ${access.name} has ${access.roles}`);
    }
    return next(request);
  };
}
