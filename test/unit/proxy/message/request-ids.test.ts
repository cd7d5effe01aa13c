// Request ids: unique, and safe in a field and in a log line.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RequestIds } from '../../../../src/proxy/message/request-ids.ts'

test('ids are unique among workers and cannot break a field or a log line', () => {
  const ids = new RequestIds('edge 1\r\nX: y', 3, 1_700_000_000_000)
  const other = new RequestIds('edge 1\r\nX: y', 4, 1_700_000_000_000)
  const seen = new Set<string>()
  for (let i = 0; i < 1000; i++) seen.add(ids.next()).add(other.next())
  assert.is(seen.size, 2000)
  for (const id of seen) assert.match(id, /^[\w.-]+$/)
  assert.ok(new RequestIds('x'.repeat(1000), 0, 1).next().length < 100)
})

test.run()
