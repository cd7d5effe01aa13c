// `skein check`: says whether the options are right and, with --stack, whether a stack file's labels are; starts nothing.
// Exit codes: 0 all is well (warnings allowed), 1 a label is wrong, 2 an option is wrong.

import { labelOptionsOf } from '../labels/options.ts'
import { runOptions, type Surroundings } from '../options/load.ts'
import type { LabelOptions } from '../providers/discovered.ts'
import { describeError } from './describe-error.ts'
import { begin, fail, readBounded, surroundings } from './start.ts'

const MAX_STACK_BYTES = 4 * 1024 ** 2

export async function check(args: readonly string[]): Promise<number> {
  const around = surroundings(args)
  const loaded = await begin('check', around)
  if (typeof loaded === 'number') return loaded
  const result = runOptions(loaded, around)
  if (!result.ok) return fail('check', result.errors, 2)
  for (const warning of loaded.warnings) process.stderr.write(`skein check: warning: ${warning}\n`)
  const { options, off } = result.value
  process.stdout.write(`The options are right.\n${off.map(line => `  off: ${line}\n`).join('')}`)
  if (options.swarm.managers.length === 0 && options.files.length === 0)
    process.stdout.write('  no --manager and no --services-file: skein run needs one of them\n')
  const stack = loaded.values.stack
  if (stack === null) return 0
  return checkStack(stack, labelOptionsOf(options), around.env)
}

async function checkStack(path: string, labelOptions: LabelOptions, env: Surroundings['env']): Promise<number> {
  let text: string
  try {
    text = readBounded(path, MAX_STACK_BYTES)
  } catch (error) {
    return fail(
      'check',
      [`--stack is ${JSON.stringify(path)} and cannot be read (${(error as Error).message}), expected a stack file`],
      2,
    )
  }
  const { checkStackFile } = await import('../labels/stack-file.ts')
  const errors = checkStackFile(text, labelOptions, env)
  for (const error of errors) process.stdout.write(`${describeError(error)}\n`)
  const wrong = errors.filter(error => error.severity === 'error').length
  process.stdout.write(wrong === 0 ? `The labels in ${path} are right.\n` : `${wrong} wrong in ${path}.\n`)
  return wrong === 0 ? 0 : 1
}
