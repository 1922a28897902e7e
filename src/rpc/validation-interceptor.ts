import type { DescService } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { checkRules } from "../operations/request-rules.ts";

/** Holds every unary request of the services against the rules in their protos. */
export function createValidationInterceptor(services: readonly DescService[]): Interceptor {
  const checked: ReadonlySet<DescService> = new Set(services);
  return (next) => (request) => {
    if (!request.stream && checked.has(request.service)) {
      checkRules(request.method.input, request.message);
    }
    return next(request);
  };
}
