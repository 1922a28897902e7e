import { create, type DescService } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { checkRules, prepareRules } from "../operations/request-rules.ts";

/** Holds every unary request of the services against the rules in their protos, which are compiled here and now. */
export function createValidationInterceptor(services: readonly DescService[]): Interceptor {
  const checked: ReadonlySet<DescService> = new Set(services);
  for (const { input } of services.flatMap(({ methods }) => methods)) {
    prepareRules(input, create(input));
  }
  return (next) => (request) => {
    if (!request.stream && checked.has(request.service)) {
      checkRules(request.method.input, request.message);
    }
    return next(request);
  };
}
