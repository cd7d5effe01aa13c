// Options of the table (schema.ts) for the cluster and the relay.

import { DEFAULT_CLUSTER } from '../../cluster/secret.ts'
import { addressListKind, peersKind } from './endpoints.ts'
import { listenKind, textKind } from './kinds.ts'
import { type OptionSpec, option, optional } from './spec.ts'

const cluster = { commands: ['run', 'check'], group: 'Cluster' } as const

export const CLUSTER_OPTIONS = {
  clusterListen: optional({
    ...cluster,
    flag: 'cluster-listen',
    file: 'cluster.listen',
    kind: listenKind(),
    whenAbsent: 'the replica is not a member of a cluster and reads its manager itself',
    description:
      'Address to listen on for other members. Makes this replica a member of a cluster, whose leader reads the managers for all. ' +
      'Needs the secret. The default port of peers is 7998.',
    example: ':7998',
  }),
  clusterName: option({
    ...cluster,
    flag: 'cluster-name',
    file: 'cluster.name',
    kind: textKind('NAME', /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'a name of at most 64 letters, digits, dots, - and _'),
    default: DEFAULT_CLUSTER,
    description:
      'Name of the cluster. Members with another name never join, even with the same secret: the name is part of the keys of the network ' +
      'and of the relay. State on disk and in Redis is separated by name too. docker-compose.ha.yml uses the name of the stack.',
    example: 'edge-west',
  }),
  clusterPeers: optional({
    ...cluster,
    flag: 'cluster-peer',
    file: 'cluster.peers',
    kind: peersKind(),
    whenAbsent: 'the replica only waits for connections of other members',
    description:
      'Address of another member. A DNS name may have many addresses and is looked up again every few seconds: ' +
      '`tasks.edge` has the addresses of all tasks of the service `edge`. One reachable member is enough; it announces the others. ' +
      'May be given several times.',
    example: 'tasks.edge:7998',
  }),
  clusterAdvertise: optional({
    ...cluster,
    flag: 'cluster-advertise',
    file: 'cluster.advertise',
    kind: addressListKind(),
    whenAbsent: "the addresses of this machine's (or container's) own interfaces",
    description:
      'Addresses, in order of preference, at which peers reach this replica (its cluster port and its relay port), ' +
      'if its interfaces do not have them. May be given several times.',
    example: '10.0.0.5',
  }),
  relayListen: optional({
    ...cluster,
    flag: 'relay-listen',
    file: 'relay.listen',
    kind: listenKind(),
    whenAbsent: 'the replica accepts no requests from peers; it may still relay its own through peers that do',
    description:
      'Address to listen on for requests of members that cannot reach a service (encrypted and authenticated with the secret). ' +
      'Needs --cluster-listen. Port 7997 in docker-compose.ha.yml.',
    example: ':7997',
  }),
} as const satisfies Record<string, OptionSpec<never> | OptionSpec<unknown>>
