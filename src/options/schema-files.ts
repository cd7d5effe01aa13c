// Options of the table (schema.ts) for files with services, beside the Swarm or instead of it.

import { listKind } from './kinds.ts'
import { type OptionSpec, optional } from './spec.ts'

export const FILES_OPTIONS = {
  servicesFiles: optional({
    commands: ['run', 'check'],
    flag: 'services-file',
    file: 'servicesFiles',
    group: 'Services in files',
    kind: listKind(
      'PATH',
      /^[^\0]{1,4096}$/,
      'the path of a .toml, .yml, .yaml or .json file, or of a directory with such files',
    ),
    whenAbsent: 'services come from the Swarm only',
    description:
      "A file in the format of Traefik v1's file provider (backends and frontends), or a directory of such files, with services " +
      'to serve beside those of the Swarm; `run` needs no --manager then. Changes take effect without a restart. ' +
      "In a cluster the leader's files are used by all: give the same files to every replica (docs/files.md). " +
      'May be given several times.',
    example: '/etc/skein/services.toml',
  }),
} as const satisfies Record<string, OptionSpec<never> | OptionSpec<unknown>>
