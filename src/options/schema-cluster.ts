// The part of the table of options (schema.ts) that makes a replica a member of a cluster, and lets it hand requests to its
// peers.

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
    otherwise: 'the replica is on its own: it reads its manager for itself and knows of no peer',
    description:
      'Where other members reach this one: a replica that has it is a member of a cluster, which elects a leader that fetches for all. ' +
      'Needs the secret. Members use port 7998 unless they are told otherwise.',
    example: ':7998',
  }),
  clusterName: option({
    ...cluster,
    flag: 'cluster-name',
    file: 'cluster.name',
    kind: textKind('NAME', /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'a name of at most 64 letters, digits, dots, - and _'),
    default: DEFAULT_CLUSTER,
    description:
      'Name of the cluster. Members with another name never join, whatever secret they hold: the name is part of the keys of the network ' +
      'and of the relay. State on disk and in Redis is kept by name too. docker-compose.ha.yml gives the name of the stack.',
    example: 'edge-west',
  }),
  clusterPeers: optional({
    ...cluster,
    flag: 'cluster-peer',
    file: 'cluster.peers',
    kind: peersKind(),
    otherwise: 'the replica waits to be found by others',
    description:
      'Where to look for other members. A DNS name may have many addresses and is looked up again every few seconds: ' +
      '`tasks.edge` names all tasks of the service `edge`. One member that can be reached is enough; it knows the others. ' +
      'May be given several times.',
    example: 'tasks.edge:7998',
  }),
  clusterAdvertise: optional({
    ...cluster,
    flag: 'cluster-advertise',
    file: 'cluster.advertise',
    kind: addressListKind(),
    otherwise: "the addresses of this machine's (or container's) own interfaces",
    description:
      'Addresses, best first, at which peers may reach this replica (its cluster port and its relay port), ' +
      'where it cannot know them itself. May be given several times.',
    example: '10.0.0.5',
  }),
  relayListen: optional({
    ...cluster,
    flag: 'relay-listen',
    file: 'relay.listen',
    kind: listenKind(),
    otherwise: 'it takes no requests from peers; it may still hand its own to peers that do',
    description:
      'Where members that cannot reach a service hand over its requests (encrypted and authenticated with the secret). ' +
      'Needs --cluster-listen. Port 7997 in docker-compose.ha.yml.',
    example: ':7997',
  }),
} as const satisfies Record<string, OptionSpec<never> | OptionSpec<unknown>>
