// The part of the table of options (schema.ts) that names files to read services from, beside the Swarm or instead of it.

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
    otherwise: 'services come from the Swarm only',
    description:
      "A file in the form of Traefik v1's file provider (backends and frontends), or a directory of such files, with services " +
      'to serve beside those of the Swarm; `run` needs no --manager then. Changes are taken over while it runs. ' +
      'In a cluster the files of the leader count for all: give them to every replica (docs/files.md). ' +
      'May be given several times.',
    example: '/etc/skein/services.toml',
  }),
} as const satisfies Record<string, OptionSpec<never> | OptionSpec<unknown>>
