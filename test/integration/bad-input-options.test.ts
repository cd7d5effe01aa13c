// Invalid options as a user types them: one line names the option as given, the value and what was expected; exit code 2; nothing is
// started.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeIdentity } from '../unit/providers/swarm/certificates.ts'
import { endAll, ownDirectory, skein } from './skein-process.ts'

const directory = ownDirectory()
test.after(endAll)

function file(name: string, text: string): string {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

const MANAGER = ['--manager', 'tcp://127.0.0.1:1']
const config = (name: string, text: string): string[] => ['run', '--config', file(name, text)]

const [one, two] = [makeIdentity('one'), makeIdentity('two')]
const cert = file('one.pem', one.cert)
const key = file('one.key', one.key)
const otherKey = file('two.key', two.key)
mkdirSync(join(directory, 'folder'))

interface Try {
  readonly what: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly expected: readonly RegExp[]
}

const TRIES: readonly Try[] = [
  {
    what: 'a word where a number is expected',
    args: ['run', ...MANAGER, '--workers', 'many'],
    expected: [/^skein run: --workers is "many", expected a whole number from 1 to 256$/],
  },
  {
    what: 'several mistakes at once, from everywhere',
    args: [...config('wrong.yml', 'log: {level: loud}\n'), ...MANAGER, '--grace', '10', '--entry-point', 'web=:80000'],
    env: { SKEIN_RETRY_BUDGET: '2' },
    expected: [
      /^skein run: --grace is "10", expected a duration such as 500ms, 10s/,
      /^skein run: --entry-point is "web=:80000", expected NAME=HOST:PORT such as web=:80/,
      /^skein run: SKEIN_RETRY_BUDGET is 2, expected a number from 0 to 1/,
      /^skein run: log\.level in .*wrong\.yml is "loud", expected one of trace, debug/,
    ],
  },
  {
    what: 'a file of the wrong shape',
    args: [...config('shape.json', '{"timeouts": 5, "workers": [1]}')],
    expected: [
      /^skein run: timeouts in .*shape\.json is 5, expected a map with timeouts\.connect/,
      /^skein run: workers in .*shape\.json is \[1\], expected a whole number/,
    ],
  },
  {
    what: 'a file that is no YAML',
    args: config('broken.yml', 'a: [1\n'),
    expected: [/^skein run: .*broken\.yml cannot be read as YAML: .* line \d+/],
  },
  {
    what: 'keys that do not exist',
    args: config('typo.toml', 'wokers = 2\n__proto__ = 1\n'),
    expected: [/wokers in .*typo\.toml is unknown, did you mean workers\?$/, /__proto__ in .*typo\.toml is unknown/],
  },
  {
    what: 'a manager with another scheme',
    args: ['run', '--manager', 'http://127.0.0.1:2375'],
    expected: [
      /^skein run: --manager is "http:\/\/127\.0\.0\.1:2375", expected unix:\/\/\/PATH, tcp:\/\/HOST:PORT or agent:\/\/HOST:PORT$/,
    ],
  },
  {
    what: 'an agent without the secret',
    args: ['run', '--manager', 'agent://127.0.0.1:7999'],
    expected: [/^skein run: --manager is "agent:\/\/127\.0\.0\.1:7999", expected --secret-file \(or --secret\) beside it/],
  },
  ...(
    [
      ['a secret file that is missing', 'nowhere', /and there is no such file, expected a file that holds the secret$/],
      ['a secret file that is a directory', 'folder', /and it is a directory, expected a file that holds the secret$/],
      ['a secret file that is empty', file('blank', ' \n'), /and holds nothing, expected a file that holds the secret$/],
      ['a secret file that is too large', file('large', 'x'.repeat(70_000)), /and it is larger than 65536 bytes, expected/],
    ] as const
  ).flatMap(([what, path, expected]): Try[] => {
    const named = path.startsWith('/') ? path : join(directory, path)
    return [
      { what, args: ['run', ...MANAGER, '--secret-file', named], expected: [expected] },
      {
        what: `${what}, for an agent`,
        args: ['agent'],
        env: { SKEIN_SECRET_FILE: named },
        expected: [/^skein agent: SKEIN_SECRET_FILE is /],
      },
    ]
  }),
  {
    what: 'a key that is not the certificate’s',
    args: ['run', ...MANAGER, '--manager-tls-ca', cert, '--manager-tls-cert', cert],
    env: { SKEIN_MANAGER_TLS_KEY: otherKey },
    expected: [
      /^skein run: SKEIN_MANAGER_TLS_KEY is ".*two\.key", expected the key of the certificate in --manager-tls-cert \(".*one\.pem"\)$/,
    ],
  },
  {
    what: 'certificate and key the wrong way round',
    args: ['check', '--manager-tls-ca', cert, '--manager-tls-cert', key, '--manager-tls-key', cert],
    expected: [/^skein check: --manager-tls-cert is ".*one\.key" and holds something else, expected a certificate in PEM form$/],
  },
  {
    what: 'a certificate without its key',
    args: ['check', '--manager-tls-ca', cert, '--manager-tls-cert', cert],
    expected: [/^skein check: --manager-tls-key is missing, expected the key of the certificate ".*one\.pem"$/],
  },
  {
    what: 'an authority that is missing',
    args: ['check', '--manager-tls-ca', join(directory, 'nowhere.pem')],
    expected: [/^skein check: --manager-tls-ca is ".*nowhere\.pem" and there is no such file, expected a certificate/],
  },
]

for (const { what, args, env, expected } of TRIES) {
  test(what, async () => {
    const { code, out, err } = await skein(args, env)
    assert.is(code, 2, out + err)
    assert.is(out, '')
    const lines = err.trimEnd().split('\n')
    assert.is(lines.length, expected.length, err)
    for (const [index, line] of expected.entries()) assert.match(lines[index] ?? '', line)
    assert.not.match(err, /PRIVATE|at .*\.ts:\d/)
  })
}

test.run()
