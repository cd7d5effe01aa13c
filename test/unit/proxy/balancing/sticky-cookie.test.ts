// The sticky cookie: opaque, the same on every replica, found among others, deaf to garbage.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { StickyCookie } from '../../../../src/config/model.ts'
import { cookieValueOf, findSticky, prepareSticky, setCookieHeader } from '../../../../src/proxy/balancing/sticky-cookie.ts'
import { seeded, servers } from './servers.ts'

const NAME = '_TRAEFIK_BACKEND'
const list = servers('a', 'b', 'c')
prepareSticky('key', 'shop', list)
const [A, B, C] = list.map(server => server.cookieValue) as [string, string, string]

function find(...headers: string[]): string | null {
  return findSticky(headers, NAME, list, null, 0)?.id ?? null
}

test('the value is keyed, differs by service and server, and never changes between versions', () => {
  assert.is(cookieValueOf('key', 'shop', 'a'), A)
  assert.match(A, /^[A-Za-z0-9_-]{22}$/)
  assert.is(new Set([A, B, C, cookieValueOf('key', 'blog', 'a'), cookieValueOf('other', 'shop', 'a')]).size, 5)
  assert.is.not(cookieValueOf('key', 'ab', 'c'), cookieValueOf('key', 'a', 'bc'))
  assert.is(A, 'psM8c-U3wVpa_Rf7Io7rFA')
})

test('is found wherever it stands', () => {
  assert.is(find(`${NAME}=${A}`), 'a')
  assert.is(find(`x=1; ${NAME}=${B}; y=2`), 'b')
  assert.is(find(`x=1;${NAME}=${B};y=2`), 'b')
  assert.is(find(`x=1;\t ${NAME}=${C} \t`), 'c')
  assert.is(find('x=1', `y=2; ${NAME}=${C}`), 'c')
})

test('what only looks like it is ignored', () => {
  assert.is(find(), null)
  assert.is(find(''), null)
  assert.is(find(`X${NAME}=${A}`), null)
  assert.is(find(`x ${NAME}=${A}`), null)
  assert.is(find(`${NAME}X=${A}`), null)
  assert.is(find(`${NAME} =${A}`), null)
  assert.is(find(`${NAME}= ${A}`), null)
  assert.is(find(`${NAME}=${A}x`), null)
  assert.is(find(`${NAME}=${A} x`), null)
  assert.is(find(`${NAME}=${A.slice(0, 21)}`), null)
  assert.is(find(`${NAME}="${A}"`), null)
  assert.is(find(`${NAME}=`), null)
  assert.is(find(NAME), null)
  assert.is(find(`x=${NAME}=${A}`), null)
  assert.is(find(`${NAME.toLowerCase()}=${A}`), null)
  assert.is(find(`${NAME}=http://10.0.0.0:80`), null)
  assert.is(findSticky([`=${A}`], '', list, null, 0), null)
})

test('a server without a value is never named', () => {
  assert.is(findSticky([`${NAME}=`, `${NAME}=${A}`], NAME, servers('a'), null, 0), null)
})

test('of several, the first that names a server that may be used', () => {
  assert.is(find(`${NAME}=gone; ${NAME}=${B}; ${NAME}=${A}`), 'b')
  list[1]!.draining = true
  assert.is(find(`${NAME}=${B}; ${NAME}=${A}`), 'a')
  list[1]!.draining = false
  list[1]!.ejectedUntilMs = 50
  assert.is(findSticky([`${NAME}=${B}`], NAME, list, null, 49), null)
  assert.is(findSticky([`${NAME}=${B}`], NAME, list, null, 50)?.id, 'b')
  list[1]!.ejectedUntilMs = 0
  assert.is(findSticky([`${NAME}=${B}`], NAME, list, [list[1]!], 0), null)
})

test('thousands of cookies are not looked at', () => {
  assert.is(find(`${`${NAME}=${'x'.repeat(22)}; `.repeat(8)}${NAME}=${A}`), null)
  assert.is(find(`${`${NAME}=${'x'.repeat(22)}; `.repeat(7)}${NAME}=${A}`), 'a')
})

test('random bytes never throw and never match', () => {
  const random = seeded(7)
  const pieces = [NAME, '=', ';', ' ', '\t', A.slice(0, 11), 'x', '"', '\u00ff', ',']
  for (let i = 0; i < 5000; i++) {
    let text = ''
    for (let n = 0; n < 12; n++) text += pieces[Math.floor(random() * pieces.length)]
    if (!text.includes(A)) assert.is(find(text), null)
  }
})

test('Set-Cookie', () => {
  const sticky: StickyCookie = { name: NAME, secure: true, httpOnly: true, sameSite: 'lax' }
  assert.is(setCookieHeader(sticky, A), `${NAME}=${A}; Path=/; HttpOnly; Secure; SameSite=Lax`)
  assert.is(
    setCookieHeader({ ...sticky, secure: false, sameSite: 'none' }, 'v'),
    `${NAME}=v; Path=/; HttpOnly; Secure; SameSite=None`,
  )
  assert.is(
    setCookieHeader({ ...sticky, secure: false, httpOnly: false, sameSite: 'strict' }, 'v'),
    `${NAME}=v; Path=/; SameSite=Strict`,
  )
  assert.is(setCookieHeader({ name: 'n', secure: false, httpOnly: false, sameSite: null }, 'v'), 'n=v; Path=/')
})

test.run()
