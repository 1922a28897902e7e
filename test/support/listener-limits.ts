import type { ListenerLimits } from "../../src/listener/listener-limits.ts";
import { settings } from "../../src/settings.ts";

/** The default limits of a listener, with some replaced. */
export function listenerLimits(limits: Partial<ListenerLimits> = {}): ListenerLimits {
  const defaults = Object.fromEntries(Object.entries(settings).map(([key, { default: value }]) => [key, value]));
  return { ...(defaults as unknown as ListenerLimits), ...limits };
}
