import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkStackFile } from '../../../../src/labels/stack-file/stack-file.ts'
import { OPTIONS } from '../shared/services.ts'

const findings = (...of: Parameters<typeof checkStackFile>) => checkStackFile(...of).errors

const edge = (lines: string): string => `services:\n  edge:\n    image: registry.test/skein:1\n${lines}`

/** The service's lines and the finding; '': none. */
const CASES: readonly (readonly [string, string, string])[] = [
  ["Docker's default is too short for the default grace", '', 'at least 30s (Docker'],
  ['long enough', '    stop_grace_period: 30s\n', ''],
  ['too short for the grace alone', '    stop_grace_period: 20s\n', 'before --grace 30s have passed'],
  ['delay in the environment', '    stop_grace_period: 35s\n    environment: { SKEIN_DRAIN_DELAY: 10s }\n', 'at least 40s'],
  [
    'delay and grace in the environment',
    '    stop_grace_period: 35s\n    environment: ["SKEIN_DRAIN_DELAY=10s", "SKEIN_GRACE=20s"]\n',
    '',
  ],
  ['flags', '    stop_grace_period: 1m\n    command: ["run", "--drain-delay", "50s", "--grace=20s"]\n', 'at least 70s'],
  ['flags in one text', '    stop_grace_period: 1m\n    command: run --drain-delay=50s --grace 10s\n', ''],
  ['a flag wins', '    stop_grace_period: 1m\n    command: run --grace 50s\n    environment: { SKEIN_GRACE: 5m }\n', ''],
  ['no duration', '    stop_grace_period: soon\n', 'expected a duration'],
  [
    'variables with defaults',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what a stack file says
    '    stop_grace_period: ${STOP:-35s}\n    environment: { SKEIN_DRAIN_DELAY: "${DELAY:-10s}" }\n',
    'at least 40s',
  ],
  ['an agent', '    command: ["agent"]\n    stop_grace_period: 1s\n', ''],
  [
    'an option that cannot be read counts as not given',
    '    stop_grace_period: 30s\n    environment: { SKEIN_DRAIN_DELAY: x }\n',
    '',
  ],
  [
    'oddities of the file',
    '    stop_grace_period: 30s\n    environment: [1, null, { a: b }]\n    command: [[1], { a: b }, null, run]\n',
    '',
  ],
]
for (const [title, lines, expected] of CASES) {
  test(title, () => {
    const messages = findings(edge(lines), OPTIONS)
      .filter(({ key }) => key === 'stop_grace_period')
      .map(({ severity, source, message }) => `${severity} ${source}: ${message}`)
    if (expected === '') assert.equal(messages, [])
    else {
      assert.is(messages.length, 1)
      assert.match(messages[0]!, 'error edge: ')
      assert.match(messages[0]!, expected)
    }
  })
}

test('variables come from the environment of the deployment', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what a stack file says
  const text = edge('    stop_grace_period: ${STOP}\n    environment: { SKEIN_DRAIN_DELAY: "${DELAY}" }\n')
  assert.equal(findings(text, OPTIONS, { STOP: '45s', DELAY: '15s' }), [])
  assert.is(findings(text, OPTIONS, { STOP: '44s', DELAY: '15s' }).length, 1)
})

test('the options of `check` apply where the service sets none', () => {
  const text = edge('    stop_grace_period: 30s\n')
  assert.is(findings(text, { ...OPTIONS, stop: { drainDelayMs: 1000, graceMs: 30_000 } }).length, 1)
  assert.is(findings(text, { ...OPTIONS, stop: { drainDelayMs: 1000, graceMs: 29_000 } }).length, 0)
})

test('services that do not run Skein are not checked', () => {
  assert.equal(findings('services:\n  web: { image: nginx, stop_grace_period: 1s }\n', OPTIONS), [])
  assert.equal(findings('services:\n  web: { image: skeinlike/app, stop_grace_period: 1s, command: run }\n', OPTIONS), [])
})

test('the shipped stack file is valid, also with a delay of 30 s', () => {
  const text = readFileSync(new URL('../../../../docker-compose.ha.yml', import.meta.url), 'utf8')
  const found = (env: Record<string, string>) =>
    findings(text, OPTIONS, env).filter(({ key }) => key === 'stop_grace_period').length
  assert.is(found({}), 0)
  assert.is(found({ SKEIN_DRAIN_DELAY: '30s' }), 0)
  assert.is(found({ SKEIN_DRAIN_DELAY: '31s' }), 1)
  assert.is(found({ SKEIN_DRAIN_DELAY: '31s', SKEIN_STOP_GRACE_PERIOD: '61s' }), 0)
})

test.run()
