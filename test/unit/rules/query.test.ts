import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { queryValue } from '../../../src/rules/query.ts'

test('finds the first value of a name, decoded', () => {
  const cases: [query: string | null, name: string, value: string | null][] = [
    [null, 'a', null],
    ['', 'a', null],
    ['a=1', 'a', '1'],
    ['a=1&a=2', 'a', '1'],
    ['b=2&a=1', 'a', '1'],
    ['a', 'a', ''],
    ['a=', 'a', ''],
    ['ab=1', 'a', null],
    ['xa=1', 'a', null],
    ['a=1=2', 'a', '1=2'],
    ['a=x+y%20z', 'a', 'x y z'],
    ['%61=1', 'a', '1'],
    ['a%20b=1', 'a b', '1'],
    ['a=%zz', 'a', '%zz'],
    ['&&a=1&&', 'a', '1'],
    ['b=a=1', 'a', null],
    ['=1&a=2', 'a', '2'],
  ]
  for (const [query, name, value] of cases) assert.is(queryValue(query, name), value, `${query} ${name}`)
})

test.run()
