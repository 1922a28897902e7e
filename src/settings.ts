/** What values a setting takes; how its text in the environment is read follows from it. */
export type SettingKind =
  | "text"
  | "port"
  | "optionalPort"
  | "milliseconds"
  | "millisecondsOr0"
  | "retention"
  | "count"
  | "countOr0"
  | "bytes"
  | "switch"
  | "url"
  | "databaseUrl"
  | "clientAuth"
  | "jwksUrl"
  | "jwtAlgorithms"
  | "logLevel";

/** One row of the table of settings. */
export interface Setting<T extends string | number | boolean> {
  readonly kind: SettingKind;
  /** The environment variable that sets it. */
  readonly env: `LONGHAUL_${string}`;
  readonly default: T;
  /** What it does, in one line. */
  readonly description: string;
}

const hours = 3_600_000;
const mebibyte = 1024 * 1024;

function setting<T extends string | number | boolean>(
  kind: SettingKind,
  env: `LONGHAUL_${string}`,
  value: T,
  description: string,
): Setting<T> {
  return { kind, env, default: value, description };
}

/** Every setting beside the routes. The key is its name in the configuration file; the flag is the key in kebab case. */
export const settings = {
  listenHost: setting<string>("text", "LONGHAUL_LISTEN_HOST", "127.0.0.1", "Address to listen on"),
  port: setting<number>("port", "LONGHAUL_PORT", 50_051, "Port to listen on; 0 takes any free one"),
  dataDir: setting<string>("text", "LONGHAUL_DATA_DIR", "longhaul-data", "Directory of the SQLite store"),
  databaseUrl: setting<string>(
    "databaseUrl",
    "LONGHAUL_DATABASE_URL",
    "",
    "PostgreSQL to store in instead, postgres://user:password@host:5432/name; many servers can share it",
  ),
  databasePoolSize: setting<number>("count", "LONGHAUL_DATABASE_POOL_SIZE", 10, "Connections to PostgreSQL"),
  databaseTimeoutMs: setting<number>(
    "milliseconds",
    "LONGHAUL_DATABASE_TIMEOUT_MS",
    5_000,
    "Longest statement in PostgreSQL",
  ),
  leaseMs: setting<number>(
    "milliseconds",
    "LONGHAUL_LEASE_MS",
    10_000,
    "Silence towards PostgreSQL after which the other servers take over",
  ),
  advertiseUrl: setting<string>(
    "url",
    "LONGHAUL_ADVERTISE_URL",
    "",
    "Where the other servers over the same PostgreSQL reach this one; by default where it listens",
  ),
  services: setting<string>("text", "LONGHAUL_SERVICES", "", "Module whose exported orchestrators are served"),
  server: setting<string>("url", "LONGHAUL_SERVER", "http://127.0.0.1:50051", "Server the client commands call"),
  cacheTtlMs: setting<number>(
    "millisecondsOr0",
    "LONGHAUL_CACHE_TTL_MS",
    1_000,
    "Age up to which a Get asks no source",
  ),
  pullTimeoutMs: setting<number>("milliseconds", "LONGHAUL_PULL_TIMEOUT_MS", 2_500, "Longest call to a host"),
  sweepIntervalMs: setting<number>("milliseconds", "LONGHAUL_SWEEP_INTERVAL_MS", 30_000, "Time between two sweeps"),
  retentionMs: setting<number>("retention", "LONGHAUL_RETENTION_MS", 24 * hours, "How long ended operations are kept"),
  tombstoneRetentionMs: setting<number>(
    "retention",
    "LONGHAUL_TOMBSTONE_RETENTION_MS",
    7 * 24 * hours,
    "How long it is remembered that an operation expired",
  ),
  hostLostAfterMs: setting<number>(
    "milliseconds",
    "LONGHAUL_HOST_LOST_AFTER_MS",
    300_000,
    "Silence of a host after which its operations count as lost",
  ),
  cancellationGraceMs: setting<number>(
    "milliseconds",
    "LONGHAUL_CANCELLATION_GRACE_MS",
    30_000,
    "Time a cancelled worker thread has before it is terminated",
  ),
  shutdownGraceMs: setting<number>("milliseconds", "LONGHAUL_SHUTDOWN_GRACE_MS", 4_000, "Longest clean stop"),
  dispatchBackoffMs: setting<number>(
    "milliseconds",
    "LONGHAUL_DISPATCH_BACKOFF_MS",
    250,
    "First pause before a silent host is given its operations again; it doubles",
  ),
  dispatchBackoffMaxMs: setting<number>(
    "milliseconds",
    "LONGHAUL_DISPATCH_BACKOFF_MAX_MS",
    10_000,
    "Longest such pause",
  ),
  maxConcurrentOperations: setting<number>(
    "count",
    "LONGHAUL_MAX_CONCURRENT_OPERATIONS",
    4,
    "Operations one orchestrator runs at a time",
  ),
  maxMessageBytes: setting<number>("bytes", "LONGHAUL_MAX_MESSAGE_BYTES", 4 * mebibyte, "Largest message, unpacked"),
  maxConcurrentStreams: setting<number>(
    "count",
    "LONGHAUL_MAX_CONCURRENT_STREAMS",
    128,
    "Open calls on one HTTP/2 connection",
  ),
  maxHops: setting<number>("count", "LONGHAUL_MAX_HOPS", 8, "Servers a call may have passed"),
  logLevel: setting<string>(
    "logLevel",
    "LONGHAUL_LOG_LEVEL",
    "info",
    "fatal, error, warn, info, debug, trace or silent",
  ),
  tlsCertFile: setting<string>(
    "text",
    "LONGHAUL_TLS_CERT_FILE",
    "",
    "PEM file with the server's certificate and those of its intermediate authorities; turns TLS on",
  ),
  tlsKeyFile: setting<string>("text", "LONGHAUL_TLS_KEY_FILE", "", "PEM file with the key of that certificate"),
  tlsClientCaFile: setting<string>(
    "text",
    "LONGHAUL_TLS_CLIENT_CA_FILE",
    "",
    "PEM file with the authorities that sign clients' certificates",
  ),
  tlsClientAuth: setting<string>(
    "clientAuth",
    "LONGHAUL_TLS_CLIENT_AUTH",
    "auto",
    "Client certificates: none, optional, required, or auto, which is required when tlsClientCaFile is set",
  ),
  maxConnections: setting<number>(
    "count",
    "LONGHAUL_MAX_CONNECTIONS",
    10_000,
    "Connections at once; further ones are closed",
  ),
  maxConnectionsPerAddress: setting<number>(
    "countOr0",
    "LONGHAUL_MAX_CONNECTIONS_PER_ADDRESS",
    0,
    "The same for one IP address; 0 is no limit",
  ),
  maxHeaderBytes: setting<number>(
    "bytes",
    "LONGHAUL_MAX_HEADER_BYTES",
    16 * 1024,
    "Names and values of a request's headers",
  ),
  maxHeaders: setting<number>("count", "LONGHAUL_MAX_HEADERS", 100, "Headers of a request"),
  headersTimeoutMs: setting<number>(
    "milliseconds",
    "LONGHAUL_HEADERS_TIMEOUT_MS",
    10_000,
    "Longest TLS handshake, silence of a new connection, and headers of a request",
  ),
  requestTimeoutMs: setting<number>(
    "milliseconds",
    "LONGHAUL_REQUEST_TIMEOUT_MS",
    30_000,
    "How long a client may take to send a request, and to take the answer",
  ),
  idleTimeoutMs: setting<number>(
    "milliseconds",
    "LONGHAUL_IDLE_TIMEOUT_MS",
    300_000,
    "Longest silence of a connection",
  ),
  maxStreamResets: setting<number>(
    "count",
    "LONGHAUL_MAX_STREAM_RESETS",
    200,
    "Calls one HTTP/2 connection may abandon at once; a tenth of it more each second",
  ),
  maxConnectionAgeMs: setting<number>(
    "millisecondsOr0",
    "LONGHAUL_MAX_CONNECTION_AGE_MS",
    1_800_000,
    "Age at which a connection is asked to end, give or take a tenth; 0 is no limit",
  ),
  maxConnectionAgeGraceMs: setting<number>(
    "milliseconds",
    "LONGHAUL_MAX_CONNECTION_AGE_GRACE_MS",
    60_000,
    "How long the calls of such a connection may still take",
  ),
  drainGraceMs: setting<number>(
    "millisecondsOr0",
    "LONGHAUL_DRAIN_GRACE_MS",
    0,
    "Time between telling that the server stops and stopping, for balancers to notice",
  ),
  maxWaiters: setting<number>("count", "LONGHAUL_MAX_WAITERS", 10_000, "WaitOperation calls open at once"),
  maxLabels: setting<number>("count", "LONGHAUL_MAX_LABELS", 64, "Labels of one operation; the protocol allows 64"),
  maxMetadataBytes: setting<number>(
    "bytes",
    "LONGHAUL_MAX_METADATA_BYTES",
    mebibyte,
    "Encoded metadata of one operation",
  ),
  rateLimitPerSecond: setting<number>(
    "countOr0",
    "LONGHAUL_RATE_LIMIT_PER_SECOND",
    0,
    "Calls one caller may make each second; 0 is no limit",
  ),
  rateLimitBurst: setting<number>(
    "count",
    "LONGHAUL_RATE_LIMIT_BURST",
    1_000,
    "Calls one caller may make at once, with rateLimitPerSecond",
  ),
  fastLane: setting<boolean>(
    "switch",
    "LONGHAUL_FAST_LANE",
    true,
    "Whether unary calls by gRPC, and by POST in Connect, are answered without connect-node; off, all go through it",
  ),
  reflection: setting<boolean>("switch", "LONGHAUL_REFLECTION", true, "Whether gRPC server reflection is served"),
  adminPort: setting<string>(
    "optionalPort",
    "LONGHAUL_ADMIN_PORT",
    "off",
    "Port of /metrics and /healthz; 0 takes any free one, off serves none",
  ),
  adminHost: setting<string>("text", "LONGHAUL_ADMIN_HOST", "127.0.0.1", "Address that port listens on"),
  jwksUrl: setting<string>("jwksUrl", "LONGHAUL_JWKS_URL", "", "JSON Web Key Set that callers' JWTs are signed with"),
  jwtKeyFile: setting<string>(
    "text",
    "LONGHAUL_JWT_KEY_FILE",
    "",
    "File with the public key of JWTs instead, as PEM or JSON Web Key Set; read again when it changes",
  ),
  jwtIssuer: setting<string>("text", "LONGHAUL_JWT_ISSUER", "", "Issuer that JWTs must name; needed with JWTs"),
  jwtAudience: setting<string>("text", "LONGHAUL_JWT_AUDIENCE", "", "Audience that JWTs must name; needed with JWTs"),
  jwtAlgorithms: setting<string>(
    "jwtAlgorithms",
    "LONGHAUL_JWT_ALGORITHMS",
    "EdDSA,ES256,ES384,ES512,PS256,PS384,PS512,RS256,RS384,RS512",
    "Algorithms that JWTs may be signed with, comma-separated",
  ),
  tokensFile: setting<string>(
    "text",
    "LONGHAUL_TOKENS_FILE",
    "",
    "File of static tokens and their names; read again when it changes",
  ),
  accessPolicyFile: setting<string>(
    "text",
    "LONGHAUL_ACCESS_POLICY_FILE",
    "",
    "File that says who has which role; turns authentication on; read again when it changes",
  ),
  callTokenFile: setting<string>(
    "text",
    "LONGHAUL_CALL_TOKEN_FILE",
    "",
    "File with the bearer token for calls to hosts, other replicas and servers; read again when it changes",
  ),
  callCertificateFile: setting<string>(
    "text",
    "LONGHAUL_CALL_CERTIFICATE_FILE",
    "",
    "PEM file with the client certificate for such calls over https; read again when it changes",
  ),
  callKeyFile: setting<string>("text", "LONGHAUL_CALL_KEY_FILE", "", "PEM file with the key of callCertificateFile"),
  callCaFile: setting<string>(
    "text",
    "LONGHAUL_CALL_CA_FILE",
    "",
    "PEM file with the authorities trusted in such calls instead of the usual ones; read again when it changes",
  ),
  insecure: setting<boolean>(
    "switch",
    "LONGHAUL_INSECURE",
    false,
    "Listen off loopback without TLS and authentication, and send tokens in plaintext",
  ),
  maxMetricRecords: setting<number>(
    "count",
    "LONGHAUL_MAX_METRIC_RECORDS",
    1_000_000,
    "Metric records kept of one operation, the first ones; further ones are dropped with a warning",
  ),
} as const satisfies Record<string, Setting<string> | Setting<number> | Setting<boolean>>;

/** The name of a setting. */
export type SettingKey = keyof typeof settings;
