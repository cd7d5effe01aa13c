import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startupMessage } from '../../../src/control/startup-message.ts'

test('the startup message names the missing source and what is served instead', () => {
  assert.is(
    startupMessage({ pending: ['swarm'], serving: true, stored: true }),
    'no manager has answered yet: serving the services files and the configuration on disk',
  )
  assert.is(
    startupMessage({ pending: ['swarm', 'file'], serving: false, stored: true }),
    'no manager has answered yet: serving the configuration on disk',
  )
  assert.is(
    startupMessage({ pending: ['file'], serving: true, stored: false }),
    "the services files have not been read yet and there is no usable configuration on disk: serving the managers' configuration",
  )
  assert.is(
    startupMessage({ pending: ['file'], serving: false, stored: false }),
    'the services files have not been read yet and there is no usable configuration on disk: the entry points open with the first configuration',
  )
})

test.run()
