// Which part of the project may import which. `npm run check:imports` tests these rules and reports every violation.
// Besides them, no two files and no two folders may import each other, directly or through others. A folder that contains other
// folders is no unit for this purpose: each of its own files counts by itself (`cluster/member.ts` is above `cluster/core`,
// `cluster/protocol.ts` below it).

/** A forbidden direction: files below `from` import nothing below `to`, apart from what is below `except`. */
export interface Direction {
  readonly from: string
  readonly to: readonly string[]
  readonly except?: readonly string[]
  readonly why: string
}

/** Folders of the data plane below the codecs. */
const CODEC_INDEPENDENT = ['balancing', 'breaker', 'forward', 'outlier', 'peers', 'routing', 'sessions', 'upstream']

export const DIRECTIONS: readonly Direction[] = [
  { from: 'cluster', to: ['src', 'test', 'deploy'], why: 'the cluster replicates opaque text and serves any program' },
  { from: 'src', to: ['test', 'deploy'], why: 'the product contains no test code' },
  { from: 'src/util', to: ['cluster', 'src'], except: ['src/util'], why: 'utilities are the lowest layer of src' },
  {
    from: 'src/config',
    to: ['cluster', 'src'],
    except: ['src/config', 'src/util', 'src/rules'],
    why: 'the model of the configuration is below everything that makes or uses it',
  },
  { from: 'src/rules', to: ['cluster', 'src'], except: ['src/rules', 'src/config', 'src/util'], why: 'rules are pure' },
  {
    from: 'src/options',
    to: ['src'],
    except: ['src/options', 'src/config', 'src/rules', 'src/util'],
    why: 'options are read before anything else is loaded',
  },
  {
    from: 'src/middlewares',
    to: ['src/proxy/http1', 'src/providers', 'src/labels', 'src/workers', 'src/control'],
    why: 'a middleware knows no codec',
  },
  {
    from: 'src/labels',
    to: ['src/proxy', 'src/providers', 'src/workers', 'src/control', 'src/cli', 'cluster'],
    why: 'a dialect is pure',
  },
  {
    from: 'src/providers',
    to: ['src/proxy', 'src/workers', 'src/control', 'src/cli', 'src/admin'],
    why: 'a provider is a source, without consumers',
  },
  {
    from: 'src/proxy',
    to: ['src/providers', 'src/labels', 'src/workers', 'src/control', 'src/cli', 'src/admin', 'src/shared-state', 'cluster'],
    why: 'the data plane serves a compiled snapshot, whatever it was made from',
  },
  { from: 'src/proxy/message', to: ['src/proxy'], except: ['src/proxy/message'], why: 'the model of a message knows no codec' },
  ...CODEC_INDEPENDENT.map(folder => ({
    from: `src/proxy/${folder}`,
    to: ['src/proxy/http1', 'src/proxy/listen', 'src/proxy/relay'],
    why: 'it works on exchanges and streams, whatever codec carries them',
  })),
  {
    from: 'src/shared-state',
    to: ['src/workers', 'src/control', 'src/cli', 'src/admin', 'src/providers', 'src/labels'],
    except: ['src/workers/messages.ts', 'src/admin/admin-source.ts'],
    why: 'control connects it to workers and the admin API; it sees only their messages and reports',
  },
  {
    from: 'src/agent',
    to: ['src/proxy', 'src/workers', 'src/control', 'src/labels', 'cluster'],
    except: ['cluster/rate-limit.ts'],
    why: 'the agent is a separate program',
  },
  {
    from: 'src/emulator',
    to: ['src'],
    except: ['src/emulator', 'src/util', 'src/agent'],
    why: 'the emulated swarm shares no code with the reader of a swarm',
  },
]

/** An import that breaks a rule today. The list only shrinks: an entry that nothing needs any more is reported as an error. */
export interface Exception {
  readonly from: string
  readonly to: string
}

/**
 * Imports of one file by another that are not counted for cycles of files. An exchange, its stream and its server
 * refer to each other, and so do the interfaces between them.
 */
export const FILE_EXCEPTIONS: readonly Exception[] = [
  { from: 'src/proxy/forward/attempt.ts', to: 'src/proxy/upstream/upstream-stream.ts' },
  { from: 'src/proxy/forward/downstream.ts', to: 'src/proxy/forward/exchange.ts' },
  { from: 'src/proxy/forward/downstream.ts', to: 'src/proxy/upstream/upstream-stream.ts' },
  { from: 'src/proxy/runtime-service.ts', to: 'src/proxy/upstream/upstream-stream.ts' },
  { from: 'src/proxy/upstream/upstream-server.ts', to: 'src/proxy/upstream/upstream-stream.ts' },
]

/**
 * Imports of one folder by another that are not counted for cycles of folders. Most lead to src/proxy/forward/exchange.ts, the state of a
 * request, which is used by the parts below the forwarder.
 */
export const FOLDER_EXCEPTIONS: readonly Exception[] = [
  { from: 'src/proxy/balancing', to: 'src/proxy/forward' },
  { from: 'src/proxy/balancing', to: 'src/proxy/sessions' },
  { from: 'src/proxy/forward', to: 'src/proxy/routing' },
  { from: 'src/proxy/forward', to: 'src/proxy/sessions' },
  { from: 'src/proxy/peers', to: 'src/proxy/forward' },
  { from: 'src/proxy/runtime-service.ts', to: 'src/proxy/balancing' },
  { from: 'src/proxy/runtime-service.ts', to: 'src/proxy/routing' },
  { from: 'src/proxy/runtime-service.ts', to: 'src/proxy/sessions' },
  { from: 'src/proxy/upstream', to: 'src/proxy/forward' },
  { from: 'src/proxy/upstream', to: 'src/proxy/runtime-service.ts' },
]
