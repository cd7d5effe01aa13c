import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Router } from '../../../src/config/model.ts'
import { compileEdits, fromEdit } from '../../../src/middlewares/pipeline.ts'
import { request } from '../rules/fake-request.ts'

function router(middlewares: readonly string[]): Router {
  return {
    name: 'r',
    entryPoints: [],
    rule: '',
    matcher: { kind: 'and', of: [] },
    priority: 1,
    service: 's',
    middlewares,
    passHostHeader: true,
    provider: 'test',
    source: 'test',
  }
}

const TABLE = { strip: { kind: 'stripPrefix', prefixes: ['/a'] }, add: { kind: 'addPrefix', prefix: '/v' } } as const

test('edits run in order', () => {
  const x = request({ target: '/a/b' })
  compileEdits(router(['strip', 'add']), TABLE)?.(x)
  assert.is(x.path, '/v/b')
  const y = request({ target: '/a/b' })
  compileEdits(router(['add', 'strip']), TABLE)?.(y)
  assert.is(y.path, '/v/a/b')
})

test('nothing to do is null, and unknown names are nothing', () => {
  assert.is(compileEdits(router([]), TABLE), null)
  assert.is(compileEdits(router(['nope', 'constructor']), TABLE), null)
})

test('an edit in the general form goes on', () => {
  const x = request({ target: '/a' })
  const middleware = fromEdit(view => {
    view.path = '/edited'
  })
  assert.is(middleware.request?.(x), undefined)
  assert.is(x.path, '/edited')
})

test.run()
