import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRedisUrl, type RedisUrl } from '../../../src/options/redis-url.ts'

const PLAIN: RedisUrl = { mode: 'single', tls: false, username: '', password: '', hosts: [], master: '', database: 0 }
const at = (host: string, port: number) => ({ host, port })

const RIGHT: readonly (readonly [string, Partial<RedisUrl>])[] = [
  ['redis://redis', { hosts: [at('redis', 6379)] }],
  ['redis://Redis.Example.com:7000/3', { hosts: [at('redis.example.com', 7000)], database: 3 }],
  ['redis://[fd00::5]/0', { hosts: [at('fd00::5', 6379)] }],
  ['redis://[fd00::5]:7000', { hosts: [at('fd00::5', 7000)] }],
  ['redis://:pa:ss@10.0.0.1:1/', { hosts: [at('10.0.0.1', 1)], password: 'pa:ss' }],
  [
    'rediss://edge:p%40ss%2F%3F%25@redis:6380/0',
    { tls: true, username: 'edge', password: 'p@ss/?%', hosts: [at('redis', 6380)] },
  ],
  ['redis://edge@redis', { username: 'edge', hosts: [at('redis', 6379)] }],
  [
    'redis+sentinel://:x@a,b:26380,[::1]/mymaster/2',
    {
      mode: 'sentinel',
      password: 'x',
      hosts: [at('a', 26_379), at('b', 26_380), at('::1', 26_379)],
      master: 'mymaster',
      database: 2,
    },
  ],
  ['rediss+sentinel://a/my-master', { mode: 'sentinel', tls: true, hosts: [at('a', 26_379)], master: 'my-master' }],
  ['redis+cluster://a:1,b', { mode: 'cluster', hosts: [at('a', 1), at('b', 6379)] }],
  ['rediss+cluster://a/0', { mode: 'cluster', tls: true, hosts: [at('a', 6379)] }],
]

for (const [text, expected] of RIGHT)
  test(`${text} is parsed`, () => {
    assert.equal(parseRedisUrl(text), { ...PLAIN, ...expected })
  })

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['', /redis:\/\/USER:PASSWORD@HOST:6379\/0/],
  ['redis', /redis:\/\//],
  ['http://redis', /redis:\/\//],
  ['redis+sentinels://a/m', /redis:\/\//],
  ['redis://', /redis:\/\//],
  ['redis://:sesame@open@redis', /written %25 %3A %40/],
  ['redis://:sesame/open@redis', /HOST:PORT|written %25/],
  ['redis://redis?sesame=1', /written/],
  ['redis://:%zz@redis', /in which % is written %25/],
  ['redis://:6379', /HOST:PORT/],
  ['redis://redis:0', /HOST:PORT/],
  ['redis://redis:70000', /HOST:PORT/],
  ['redis://a,b', /one host with redis:\/\//],
  [`redis+cluster://${Array.from({ length: 33 }, (_, n) => `h${n}`).join(',')}`, /at most 32 hosts/],
  ['redis+sentinel://a,b', /name of the Sentinels' master/],
  ['redis+sentinel://a,b/', /name of the Sentinels' master/],
  ['redis+sentinel://a/my%20master', /name of the Sentinels' master/],
  ['redis://redis/sesame', /number of a database/],
  ['redis://redis/-1', /number of a database/],
  ['redis://redis/99999', /number of a database/],
  ['redis://redis/0/1', /number of a database/],
  ['redis+cluster://a/1', /database 0 with redis\+cluster/],
]

for (const [text, expected] of WRONG)
  test(`${JSON.stringify(text.slice(0, 60))} is refused without repeating it`, () => {
    const words = parseRedisUrl(text)
    if (typeof words !== 'string') throw new Error(`understood as ${JSON.stringify(words)}`)
    assert.match(words, expected)
    assert.not.match(words, /sesame/)
  })

test.run()
