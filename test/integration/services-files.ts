// Services files for tests with running replicas, replaced by rename as an editor or a Docker config does.

import { renameSync, writeFileSync } from 'node:fs'
import type { LoopbackTasks } from './loopback-tasks.ts'

/** Writes a temporary file and renames it. */
export function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

export interface FileService {
  /** Host names of its frontend: `<name>.test`. */
  readonly name: string
  readonly tasks: LoopbackTasks
  /** Lines below `[backends.<name>]`. */
  readonly backend?: readonly string[]
}

/** One backend with one frontend per service, in TOML. */
export function tomlOf(...services: readonly FileService[]): string {
  const lines = services.flatMap(({ name, tasks, backend = [] }) => [
    `[backends.${name}]`,
    ...backend.map(line => `  ${line}`),
    ...tasks.addresses.flatMap((address, n) => [
      `  [backends.${name}.servers.s${n + 1}]`,
      `  url = "http://${address}:${tasks.port}"`,
    ]),
    `[frontends.${name}]`,
    `  backend = "${name}"`,
    `  [frontends.${name}.routes.host]`,
    `  rule = "Host:${name}.test"`,
  ])
  return `${lines.join('\n')}\n`
}

/** The same in YAML, without settings of backends. */
export function yamlOf(...services: readonly Omit<FileService, 'backend'>[]): string {
  const url = (tasks: LoopbackTasks): string =>
    tasks.addresses.map((address, n) => `s${n + 1}: { url: "http://${address}:${tasks.port}" }`).join(', ')
  return [
    'backends:',
    ...services.map(({ name, tasks }) => `  ${name}: { servers: { ${url(tasks)} } }`),
    'frontends:',
    ...services.map(({ name }) => `  ${name}: { backend: ${name}, routes: { host: { rule: "Host:${name}.test" } } }`),
    '',
  ].join('\n')
}

/** Sends one request after another until it is stopped. `failed`: the answers that were not 200. */
export class SteadyLoad {
  readonly failed: string[] = []
  /** Bodies of the answers. */
  readonly seen: string[] = []
  private going = true
  private readonly done: Promise<void>

  constructor(ask: () => Promise<{ readonly status: number; readonly body: string }>) {
    this.done = this.run(ask)
  }

  async stop(): Promise<void> {
    this.going = false
    await this.done
  }

  private async run(ask: () => Promise<{ readonly status: number; readonly body: string }>): Promise<void> {
    while (this.going) {
      const { status, body } = await ask()
      if (status !== 200) this.failed.push(`${status} ${body}`)
      this.seen.push(body)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
}
