import { createContextKey } from "@connectrpc/connect";
import type { Peer } from "../listener/peer.ts";

/** Who is at the other end of the connection a call came over, for interceptors. */
export const peerKey = createContextKey<Peer>({ address: "" }, { description: "the other end of the connection" });
