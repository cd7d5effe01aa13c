import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { compareRouters } from '../../../src/config/router-order.ts'

test('priority from high to low, then name by code unit whatever the locale', () => {
  const routers = [
    { name: 'b', priority: 1 },
    { name: 'a', priority: 1 },
    { name: 'B', priority: 1 },
    { name: 'z', priority: 20 },
    { name: 'y', priority: -1 },
  ]
  assert.equal(
    routers.sort(compareRouters).map(router => router.name),
    ['z', 'B', 'a', 'b', 'y'],
  )
})

test.run()
