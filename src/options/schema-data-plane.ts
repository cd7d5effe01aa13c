// Options of the table (schema.ts) for the data workers: time-outs, limits and retries.

import { durationKind, integerKind, ratioKind, sizeKind } from './kinds.ts'
import { type OptionSpec, option } from './spec.ts'

const timeouts = { commands: ['run', 'check'], group: 'Time-outs' } as const
const limits = { commands: ['run', 'check'], group: 'Limits' } as const
const retries = { commands: ['run', 'check'], group: 'Retries' } as const

const MiB = 1024 ** 2

export const DATA_PLANE_OPTIONS = {
  connectTimeout: option({
    ...timeouts,
    flag: 'connect-timeout',
    file: 'timeouts.connect',
    kind: durationKind(1),
    default: '1s',
    description: 'Time limit to connect to a server; then another one is tried.',
    example: '500ms',
  }),
  responseHeaderTimeout: option({
    ...timeouts,
    flag: 'response-header-timeout',
    file: 'timeouts.responseHeader',
    kind: durationKind(0),
    default: '75s',
    description:
      "Time limit from the request sent to the whole head of the server's answer; then 504. A service's label `skein.timeout.responseHeader` takes precedence; 0 means no limit.",
    example: '2m',
  }),
  requestHeaderTimeout: option({
    ...timeouts,
    flag: 'request-header-timeout',
    file: 'timeouts.requestHeader',
    kind: durationKind(1),
    default: '10s',
    description: "Time limit for a client to send a request's head; then 408.",
    example: '5s',
  }),
  stallTimeout: option({
    ...timeouts,
    flag: 'stall-timeout',
    file: 'timeouts.stall',
    kind: durationKind(0),
    default: '5m',
    description:
      "Time limit without progress: a client takes nothing of an answer, or sends nothing of a request's body before its answer begins, or a server takes nothing of a body and sends nothing of its answer. An answer without data is cut only if its client has ended its side of the connection, because such a client may be gone. A service's label `skein.timeout.stall` takes precedence; 0 means no limit.",
    example: '2m',
  }),
  clientIdleTimeout: option({
    ...timeouts,
    flag: 'client-idle-timeout',
    file: 'timeouts.clientIdle',
    kind: durationKind(1),
    default: '60s',
    description: "How long a client's connection is kept without a request.",
    example: '3m',
  }),
  upstreamIdleTimeout: option({
    ...timeouts,
    flag: 'upstream-idle-timeout',
    file: 'timeouts.upstreamIdle',
    kind: durationKind(1),
    default: '60s',
    description: 'How long a connection to a server is kept without a request.',
    example: '20s',
  }),
  tunnelIdleTimeout: option({
    ...timeouts,
    flag: 'tunnel-idle-timeout',
    file: 'timeouts.tunnelIdle',
    kind: durationKind(0),
    default: '1h',
    description: 'How long an upgraded connection (WebSocket) is kept without a byte in either direction; 0 means no limit.',
    example: '10m',
  }),
  silenceTimeout: option({
    ...timeouts,
    flag: 'silence-timeout',
    file: 'timeouts.silence',
    kind: durationKind(1),
    default: '1s',
    description:
      'After this time without an answer, a new connection tests whether the server is slow or gone; if gone, the request is sent to another server.',
    example: '2s',
  }),
  maxHeaderBytes: option({
    ...limits,
    flag: 'max-header-bytes',
    file: 'limits.headerBytes',
    kind: sizeKind(1024, MiB),
    default: '64KiB',
    description: 'Largest head (first line and headers) of a request or a response; beyond it 431.',
    example: '32KiB',
  }),
  maxHeaders: option({
    ...limits,
    flag: 'max-headers',
    file: 'limits.headers',
    kind: integerKind(8, 10_000),
    default: '128',
    description: 'Maximum number of header lines in one head; beyond it 431.',
    example: '200',
  }),
  maxUriBytes: option({
    ...limits,
    flag: 'max-uri-bytes',
    file: 'limits.uriBytes',
    kind: sizeKind(256, MiB),
    default: '16KiB',
    description: 'Longest request target; beyond it 414.',
    example: '8KiB',
  }),
  maxConnections: option({
    ...limits,
    flag: 'max-connections',
    file: 'limits.connections',
    kind: integerKind(1, 1_000_000),
    default: '10000',
    description: 'Maximum number of concurrent client connections, per worker.',
    example: '50000',
  }),
  maxPrivateConnections: option({
    ...limits,
    flag: 'max-private-connections',
    file: 'limits.privateConnections',
    kind: integerKind(1, 1_000_000),
    default: '4096',
    description:
      'Maximum number of idle server connections kept for one client connection each, because it was authenticated with NTLM or Negotiate ' +
      '(Kerberos); per worker. Beyond it the one idle longest is closed, with its client connection.',
    example: '10000',
  }),
  maxBodyBytes: option({
    ...limits,
    flag: 'max-body-bytes',
    file: 'limits.bodyBytes',
    kind: sizeKind(0, Number.MAX_SAFE_INTEGER),
    default: '0',
    description: 'Largest request body; beyond it 413. 0 means no limit.',
    example: '100MiB',
  }),
  retryAttempts: option({
    ...retries,
    flag: 'retry-attempts',
    file: 'retry.attempts',
    kind: integerKind(1, 16),
    default: '3',
    description:
      'Maximum number of servers tried for one request. 1 means no retry. Not counted: if a kept-alive connection turns out to be stale, a request that may be repeated is sent again on a new one.',
    example: '2',
  }),
  retryBuffer: option({
    ...retries,
    flag: 'retry-buffer',
    file: 'retry.buffer',
    kind: sizeKind(0, 16 * MiB),
    default: '64KiB',
    description: 'How much of a request body is kept for a retry.',
    example: '256KiB',
  }),
  retryBudget: option({
    ...retries,
    flag: 'retry-budget',
    file: 'retry.budget',
    kind: ratioKind(),
    default: '0.2',
    description: 'Share of the requests in flight that may be retries; it prevents retry storms.',
    example: '0.1',
  }),
  retryBudgetMin: option({
    ...retries,
    flag: 'retry-budget-min',
    file: 'retry.budgetMin',
    kind: integerKind(0, 100_000),
    default: '3',
    description: 'Number of concurrent retries that are always allowed.',
    example: '10',
  }),
  serverWait: option({
    ...retries,
    flag: 'server-wait',
    file: 'retry.serverWait',
    kind: durationKind(0),
    default: '5s',
    description:
      'How long a request waits while its service has no usable server, for example while its only task is replaced; 0 answers 503 at once.',
    example: '15s',
  }),
} as const satisfies Record<string, OptionSpec<never> | OptionSpec<unknown>>
