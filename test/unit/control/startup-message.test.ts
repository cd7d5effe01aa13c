import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startupMessage } from '../../../src/control/startup-message.ts'

test('who is silent is named, and what is served meanwhile', () => {
  assert.is(
    startupMessage({ silent: ['swarm'], serves: true, kept: true }),
    'no manager has answered yet: serving what files describe and the configuration kept on disk',
  )
  assert.is(
    startupMessage({ silent: ['swarm', 'file'], serves: false, kept: true }),
    'no manager has answered yet: serving the configuration kept on disk',
  )
  assert.is(
    startupMessage({ silent: ['file'], serves: true, kept: false }),
    'the services files have not been read yet and nothing usable is kept on disk: serving what the managers say',
  )
  assert.is(
    startupMessage({ silent: ['file'], serves: false, kept: false }),
    'the services files have not been read yet and nothing usable is kept on disk: the entry points open with the first configuration',
  )
})

test.run()
