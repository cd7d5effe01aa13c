// The table of Skein's options. Validation, `--help`, docs/reference.md and docs/skein.schema.json are generated from it.

import { entryPointsKind, managersKind } from './endpoints.ts'
import {
  choiceKind,
  durationKind,
  hostPortKind,
  integerKind,
  listKind,
  pathKind,
  secretKind,
  switchKind,
  textKind,
} from './kinds.ts'
import { CLUSTER_OPTIONS } from './schema-cluster.ts'
import { DATA_PLANE_OPTIONS } from './schema-data-plane.ts'
import { FILES_OPTIONS } from './schema-files.ts'
import { STORE_OPTIONS } from './schema-store.ts'
import { type OptionSpec, option, optional } from './spec.ts'

const replica = { commands: ['run', 'check'] } as const
const secretHolders = { commands: ['run', 'agent', 'check'] } as const
const swarm = { ...replica, group: 'Swarm' } as const
const demo = { commands: ['demo'], group: 'Command', file: null, env: false } as const
const logs = { commands: ['run', 'agent', 'check'], group: 'Logs' } as const

const PEM = 'the path of a PEM file'

export const OPTIONS = {
  config: optional({
    flag: 'config',
    file: null,
    commands: ['run', 'agent', 'check', 'routes', 'status', 'health'],
    group: 'General',
    kind: pathKind('FILE', 'the path of a .yml, .yaml, .json or .toml file'),
    whenAbsent: 'no file is read',
    description: 'A YAML, JSON or TOML file with options. Flags win over environment variables, and these win over the file.',
    example: '/etc/skein/skein.yml',
  }),
  name: optional({
    ...replica,
    flag: 'name',
    group: 'General',
    kind: textKind('NAME', /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'a name of letters, digits, dots, - and _'),
    whenAbsent: 'the host name',
    description:
      "This replica's name: in logs, in request ids, in X-Forwarded-Server. " +
      'It also decides which manager the replica reads from.',
    example: 'edge-1',
  }),
  secret: optional({
    ...secretHolders,
    flag: 'secret',
    group: 'General',
    kind: secretKind(),
    whenAbsent: 'no agent can be started or used, there is no cluster, and sessions are valid for this replica until it restarts',
    description:
      'The secret that all replicas and agents share. Of several lines the first is used and all are accepted, so that it can be changed ' +
      'without downtime. Other users of the machine can see flags, so prefer --secret-file.',
    example: '"$(skein secret)"',
    secret: true,
  }),
  secretFile: optional({
    ...secretHolders,
    flag: 'secret-file',
    file: 'secretFile',
    group: 'General',
    kind: pathKind('FILE', 'the path of a file that holds the secret'),
    whenAbsent: 'see --secret',
    description: 'A file with the secret, such as a Docker secret; of several lines the first is used and all are accepted.',
    example: '/run/secrets/skein',
  }),
  workers: optional({
    ...replica,
    flag: 'workers',
    group: 'General',
    kind: integerKind(1, 256),
    whenAbsent: 'one per processor',
    description: 'Number of threads that handle traffic.',
    example: '2',
  }),
  dataDir: optional({
    ...replica,
    flag: 'data-dir',
    file: 'dataDir',
    group: 'General',
    kind: pathKind('DIR', 'the path of a directory'),
    whenAbsent: 'nothing is stored on disk',
    description:
      'Directory for the last good configuration and the learned managers: ' +
      'a replica that starts while no manager answers serves from it.',
    example: '/var/lib/skein',
  }),
  drainDelay: option({
    ...replica,
    flag: 'drain-delay',
    file: 'drainDelay',
    group: 'General',
    kind: durationKind(0, 3_600_000),
    default: '0',
    description:
      'After SIGTERM: how long this replica keeps accepting requests while its health endpoints (`/api/health`, `ping` of an entry point) ' +
      'answer 503 and responses have `Connection: close`, so that a load balancer in front sends its traffic elsewhere before the ports close. ' +
      'Set it longer than the balancer needs to notice; 0 without a balancer in front.',
    example: '15s',
  }),
  grace: option({
    ...replica,
    flag: 'grace',
    group: 'General',
    kind: durationKind(0),
    default: '30s',
    description: 'After SIGTERM and --drain-delay: how long requests in flight may take before they are cut off.',
    example: '1m',
  }),
  admin: option({
    commands: ['run', 'check', 'routes', 'status', 'health'],
    flag: 'admin',
    group: 'General',
    kind: hostPortKind({ off: true, minPort: 0 }),
    default: '127.0.0.1:9000',
    description:
      'Address of the admin API: where `run` listens, and where `routes`, `status` and `health` connect. Do not expose it to the public.',
    example: '127.0.0.1:9000',
  }),
  adminHosts: optional({
    ...replica,
    flag: 'admin-host',
    file: 'adminHosts',
    group: 'General',
    kind: listKind('NAME', /^[A-Za-z0-9._-]{1,253}$/, 'host names without a port'),
    whenAbsent: 'IP addresses, localhost and the name in --admin are accepted',
    description:
      'Further host names that the admin API accepts. ' +
      'Others are refused, so that a web page cannot reach it by DNS rebinding.',
    example: 'edge-1.internal',
  }),
  entryPoints: option({
    ...replica,
    flag: 'entry-point',
    file: 'entryPoints',
    group: 'Entry points',
    kind: entryPointsKind(),
    default: 'web=:80',
    description:
      'An address to accept requests on, by name; no host means all addresses. Labels refer to the name (`frontend.entryPoints`). ' +
      '`forwardedHeaders.trustedIPs=CIDR+CIDR` names the proxies whose X-Forwarded-* headers are trusted, ' +
      '`proxyProtocol.trustedIPs=CIDR+CIDR` those that send PROXY headers; `.insecure=true` trusts every address. ' +
      '`ping=/PATH`: Skein answers GET and HEAD of that path itself, for the health checks of a load balancer: 200, or 503 while this replica drains. ' +
      'May be given several times.',
    example: 'web=:80,forwardedHeaders.trustedIPs=10.0.0.0/8+192.168.0.0/16',
  }),
  managers: optional({
    ...swarm,
    flag: 'manager',
    file: 'managers',
    kind: managersKind(),
    whenAbsent: 'services come from --services-file only; without that too, `run` fails',
    description:
      'A Swarm manager to read services from. If several are given, another one takes over when one fails. ' +
      'A DNS name with several addresses counts as several managers. May be given several times.',
    example: 'agent://10.0.0.1:7999',
  }),
  managerTlsCa: optional({
    ...swarm,
    flag: 'manager-tls-ca',
    file: 'managerTls.ca',
    kind: pathKind('FILE', PEM),
    whenAbsent: 'tcp:// managers are used without TLS',
    description:
      "Certificate authority of the managers' certificates (tcp:// endpoints). The three TLS files are given together.",
    example: '/run/secrets/docker-ca.pem',
  }),
  managerTlsCert: optional({
    ...swarm,
    flag: 'manager-tls-cert',
    file: 'managerTls.cert',
    kind: pathKind('FILE', PEM),
    whenAbsent: 'see --manager-tls-ca',
    description: 'Client certificate for managers (tcp:// endpoints).',
    example: '/run/secrets/docker-cert.pem',
  }),
  managerTlsKey: optional({
    ...swarm,
    flag: 'manager-tls-key',
    file: 'managerTls.key',
    kind: pathKind('FILE', PEM),
    whenAbsent: 'see --manager-tls-ca',
    description: 'Private key of the client certificate.',
    example: '/run/secrets/docker-key.pem',
  }),
  learnManagers: option({
    ...swarm,
    flag: 'learn-managers',
    file: 'learnManagers',
    kind: switchKind(),
    default: 'true',
    description:
      'Learn the other managers from a manager and use them too, so that promoting or losing one needs no change of options.',
    example: 'false',
  }),
  domain: optional({
    ...swarm,
    flag: 'domain',
    kind: textKind('DOMAIN', /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/, 'a domain such as example.com'),
    whenAbsent: 'a service without a rule is an error',
    description: 'Domain of the default rule, `Host:<service>.<domain>`.',
    example: 'example.com',
  }),
  exposedByDefault: option({
    ...swarm,
    flag: 'exposed-by-default',
    file: 'exposedByDefault',
    kind: switchKind(),
    default: 'true',
    description:
      'Serve every service that has a label under `traefik.`, except with `traefik.enable=false`; if off, only those with `traefik.enable=true`.',
    example: 'false',
  }),
  network: optional({
    ...swarm,
    flag: 'network',
    kind: textKind('NETWORK', /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/, 'the name of a Docker network'),
    whenAbsent: 'the first usable network of each service',
    description: 'Network on which services are reached, unless they have the label `traefik.docker.network`.',
    example: 'edge_net',
  }),
  constraints: optional({
    ...swarm,
    flag: 'constraint',
    file: 'constraints',
    kind: listKind('CONSTRAINT', /^tag ?(==|!=) ?\S.{0,200}$/, 'tag==VALUE or tag!=VALUE; * matches anything'),
    whenAbsent: 'all services',
    description: 'Serve only services whose `traefik.tags` match. May be given several times: all must match.',
    example: 'tag==public',
  }),
  labelPrefix: option({
    ...swarm,
    flag: 'label-prefix',
    file: 'labelPrefix',
    kind: textKind('PREFIX', /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'a word of letters, digits, - and _'),
    default: 'traefik',
    description: 'Prefix of the labels that are read.',
    example: 'skein',
  }),
  upstreamTlsVerify: option({
    ...swarm,
    flag: 'upstream-tls-verify',
    file: 'upstreamTlsVerify',
    kind: switchKind(),
    default: 'true',
    description:
      'Verify the certificates of servers whose protocol is https, as Traefik does. Tasks rarely have certificates for their addresses: ' +
      'then a request gets 502 and the log has the reason; NODE_EXTRA_CA_CERTS adds authorities, ' +
      '--no-upstream-tls-verify encrypts without verification.',
    example: 'false',
  }),
  keepTrailingSlash: option({
    ...swarm,
    flag: 'keep-trailing-slash',
    file: 'keepTrailingSlash',
    kind: switchKind(),
    default: 'false',
    description:
      'Do not redirect a path that differs from that of a `Path`, `PathStrip` or `PathStripRegex` rule only by a final slash ' +
      '(`/x/` for `Path:/x`): such a path then does not match the rule. Without this option, as in Traefik v1, the answer is 301 (308 for ' +
      'methods other than GET and HEAD).',
    example: 'true',
  }),
  pollRest: option({
    ...swarm,
    flag: 'poll-rest',
    file: 'poll.rest',
    kind: durationKind(100),
    default: '2s',
    description: 'How often tasks are read while nothing changes.',
    example: '5s',
  }),
  pollBusy: option({
    ...swarm,
    flag: 'poll-busy',
    file: 'poll.busy',
    kind: durationKind(50),
    default: '250ms',
    description:
      'How often tasks are read while a service is being updated. ' +
      'Swarm gives about 3 s between the decision and the SIGTERM: stay well below.',
    example: '500ms',
  }),
  managerTimeout: option({
    ...swarm,
    flag: 'manager-timeout',
    file: 'managerTimeout',
    kind: durationKind(100),
    default: '3s',
    description: 'Time limit of one call to a manager.',
    example: '5s',
  }),
  ...FILES_OPTIONS,
  ...CLUSTER_OPTIONS,
  ...STORE_OPTIONS,
  listen: option({
    commands: ['agent'],
    flag: 'listen',
    group: 'Agent',
    kind: hostPortKind({ off: false, minPort: 1 }),
    default: '0.0.0.0:7999',
    description: 'Address on which the agent listens.',
    example: '10.0.0.1:7999',
  }),
  docker: option({
    commands: ['agent'],
    flag: 'docker',
    group: 'Agent',
    kind: textKind('SOCKET', /^(unix:\/\/)?\/[^\0]{1,4095}$/, 'unix:///PATH or the path of a socket'),
    default: 'unix:///var/run/docker.sock',
    description: 'The Docker socket that the agent reads for replicas. It never sends anything but GET requests.',
    example: 'unix:///var/run/docker.sock',
  }),
  ...DATA_PLANE_OPTIONS,
  logLevel: option({
    ...logs,
    flag: 'log-level',
    file: 'log.level',
    kind: choiceKind(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    description: 'Lowest level that is logged.',
    example: 'debug',
  }),
  logFormat: option({
    ...logs,
    flag: 'log-format',
    file: 'log.format',
    kind: choiceKind(['auto', 'json', 'pretty']),
    default: 'auto',
    description: 'json: one JSON object per line; pretty: text; auto: text on a terminal, JSON otherwise.',
    example: 'json',
  }),
  accessLog: option({
    ...replica,
    flag: 'access-log',
    file: 'accessLog',
    group: 'Logs',
    kind: switchKind(),
    default: 'false',
    description: 'Log every request as one line of JSON, regardless of --log-format.',
    example: 'true',
  }),
  stack: optional({
    flag: 'stack',
    file: null,
    env: false,
    commands: ['check'],
    group: 'Command',
    kind: pathKind('FILE', 'the path of a stack file'),
    whenAbsent: 'only the options are checked',
    description: 'A stack file (docker-compose.yml) whose labels are checked.',
    example: 'docker-compose.yml',
  }),
  port: option({
    ...demo,
    flag: 'port',
    kind: integerKind(1, 65_533),
    default: '8001',
    description: "First of three ports of 127.0.0.1 for the replicas' entry points.",
    example: '18001',
  }),
  adminPort: option({
    ...demo,
    flag: 'admin-port',
    kind: integerKind(1, 65_533),
    default: '9001',
    description: "First of three ports of 127.0.0.1 for the replicas' admin APIs.",
    example: '19001',
  }),
  managerPort: option({
    ...demo,
    flag: 'manager-port',
    kind: integerKind(1, 65_535),
    default: '2375',
    description: "Port of the emulated managers' Docker API, on 127.42.0.1, .2 and .3.",
    example: '12375',
  }),
  seconds: optional({
    ...demo,
    flag: 'seconds',
    kind: integerKind(1, 86_400),
    whenAbsent: 'it runs until Ctrl-C',
    description: 'End after this many seconds.',
    example: '30',
  }),
  json: option({
    flag: 'json',
    file: null,
    env: false,
    commands: ['routes', 'status', 'health', 'version'],
    group: 'Command',
    kind: switchKind(),
    default: 'false',
    description: 'Print JSON.',
    example: 'true',
  }),
} as const satisfies Record<string, OptionSpec<never> | OptionSpec<unknown>>

export type OptionName = keyof typeof OPTIONS
export type OptionValues = { [K in OptionName]: (typeof OPTIONS)[K] extends OptionSpec<infer T> ? T : never }
export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[]

export function specOf(name: OptionName): OptionSpec {
  return OPTIONS[name] as OptionSpec
}
