/** What a listener lets its clients do. Times are in milliseconds. */
export interface ListenerLimits {
  /** Calls that one HTTP/2 connection may have open. */
  readonly maxConcurrentStreams: number;
  /** Connections at once; further ones are closed as soon as they are made. */
  readonly maxConnections: number;
  /** The same for one IP address. 0 is no limit. */
  readonly maxConnectionsPerAddress: number;
  /** Names and values of a request's headers together. */
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  /** Calls that one HTTP/2 connection may abandon at once; a tenth of that more every second. */
  readonly maxStreamResets: number;
  /** For the TLS handshake, for a connection's first bytes, and for the headers of a request. */
  readonly headersTimeoutMs: number;
  /** For a request with its body, and again for the client to take the answer. */
  readonly requestTimeoutMs: number;
  /** How long a connection may be silent. Over HTTP/1.1 that is between its calls, and it ends up to 1 s later. */
  readonly idleTimeoutMs: number;
  /** Age at which a connection is asked to end, give or take a tenth. 0 is no limit. */
  readonly maxConnectionAgeMs: number;
  /** How long the calls of such a connection may still take. */
  readonly maxConnectionAgeGraceMs: number;
}
