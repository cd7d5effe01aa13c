import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeFailure, NoResponse } from '../../../../../cluster/store/redis/failure-reason.ts'

const SECRETS = ['sesame', '']
const failure = (message: string, code?: string): Error => Object.assign(new Error(message), code === undefined ? {} : { code })

const REASONS: readonly (readonly [Error, string, boolean?])[] = [
  [failure('connect ECONNREFUSED 10.0.0.1:6379', 'ECONNREFUSED'), 'nothing listens there (connection refused)'],
  [failure('read ECONNRESET', 'ECONNRESET'), 'it closed the connection'],
  [failure('Connection is closed.'), 'it closed the connection'],
  [failure("Stream isn't writeable and enableOfflineQueue options is false"), 'it closed the connection'],
  [failure('connect ETIMEDOUT', 'ETIMEDOUT'), 'no connection within the time limit'],
  [failure('getaddrinfo ENOTFOUND redis', 'ENOTFOUND'), 'its name does not exist (DNS)'],
  [new NoResponse('no answer within 500 ms'), 'no answer within 500 ms'],
  [failure('WRONGPASS invalid username-password pair or user is disabled.'), 'the password (or user name) is wrong', true],
  [failure('ERR invalid password'), 'the password (or user name) is wrong', true],
  [failure('NOAUTH Authentication required.'), 'it requires a password and none is configured (--redis-password-file)', true],
  [
    failure("OOM command not allowed when used memory > 'maxmemory'. script: abc, on @user_script:3."),
    'it is full and refuses writes (maxmemory is reached and maxmemory-policy evicts nothing)',
  ],
  [
    failure("ERR Error running script (call to f_1): @user_script:2: -READONLY You can't write against a read only replica."),
    'it refuses writes: it is now a replica of another Redis (READONLY)',
  ],
  [failure('LOADING Redis is loading the dataset in memory'), 'it is loading its data from disk (LOADING)'],
  [failure('CLUSTERDOWN The cluster is down'), 'its cluster is down: no master serves the keys (CLUSTERDOWN)'],
  [failure('MOVED 1234 10.0.0.2:6379'), 'the keys are being moved to another node of its cluster'],
  [failure('ERR max number of clients reached'), 'its limit of clients is reached (maxclients)'],
  [
    failure("ERR unknown command 'AUTH', with args beginning with: 'sesame'"),
    'it lacks required commands: expected Redis 6.2 or later, scripts and PUBLISH allowed',
  ],
  [
    failure('MISCONF Redis is configured to save RDB snapshots'),
    'it refuses writes because it cannot save to disk (MISCONF); see its own log',
  ],
  [
    failure('self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT'),
    'its certificate is not accepted (self-signed certificate)',
    true,
  ],
  [failure('ERR something new with sesame\r\n\x1b[31m in it'), 'ERR something new with ... [31m in it'],
]

for (const [error, text, slowRetry = false] of REASONS)
  test(`${error.message.slice(0, 50)}: ${text.slice(0, 50)}`, () => {
    assert.equal(describeFailure(error, 'redis:6379', SECRETS), { text: `redis:6379: ${text}`, slowRetry })
  })

test('a value that is not an Error is described in bounded length', () => {
  assert.ok(describeFailure('x'.repeat(1000), '', SECRETS).text.length < 250)
  assert.is(describeFailure(undefined, 'a', []).text, 'a: undefined')
})

test.run()
