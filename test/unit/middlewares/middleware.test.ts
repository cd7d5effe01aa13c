import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fromEdit } from '../../../src/middlewares/middleware.ts'
import { request } from '../rules/fake-request.ts'

test('an edit changes the request, continues and does not see the response', () => {
  const x = request({ target: '/a' })
  const middleware = fromEdit(view => {
    view.path = '/edited'
  })
  assert.is(middleware.request?.(x), undefined)
  assert.is(x.path, '/edited')
  assert.is(middleware.response, undefined)
})

test.run()
