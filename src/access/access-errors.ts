import { CallError } from "../operations/errors.ts";

/** A caller who has not proved who it is. The message must not help to guess. */
export function unauthenticated(message: string): CallError {
  return new CallError("UNAUTHENTICATED", message);
}

/** A caller who is known and may not do what it asks for. */
export function permissionDenied(message: string): CallError {
  return new CallError("PERMISSION_DENIED", message);
}
