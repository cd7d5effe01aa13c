// The sticky cookie: opaque, equal on every replica, found among other cookies; malformed values are ignored.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { StickyCookie } from '../../../../src/config/model.ts'
import {
  cookieAttributes,
  cookieValueOf,
  prepareSticky,
  StickyCookies,
  setCookie,
} from '../../../../src/proxy/balancing/sticky-cookie.ts'
import type { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { requestHead } from '../sessions/heads.ts'
import { seeded, servers } from './servers.ts'

const NAME = '_TRAEFIK_BACKEND'
const sticky: StickyCookie = { name: NAME, secure: true, httpOnly: true, sameSite: 'lax' }
const list = servers('a', 'b', 'c')
prepareSticky('key', 'shop', sticky, list)
const [A, B, C] = list.map(server => cookieValueOf('key', 'shop', server.id)) as [string, string, string]
const cookies = new StickyCookies()
/** Well-formed, but names no server. */
const GONE = cookieValueOf('key', 'shop', 'gone')

function search(headers: readonly string[], tried: readonly UpstreamServer[] | null = null, nowMs = 0): string | null {
  return cookies.find(requestHead(headers.map(value => `Cookie: ${value}`)), `${NAME}=`, list, tried, nowMs)?.id ?? null
}

/** The id of the server, with a + if the cookie must be set again. */
function found(value: string, tried: readonly UpstreamServer[] | null = null, nowMs = 0): string | null {
  const id = search([`${NAME}=${value}`], tried, nowMs)
  return id !== null && cookies.renew ? `${id}+` : id
}

function find(...headers: string[]): string | null {
  return search(headers)
}

test.after.each(() => {
  for (const server of list) {
    server.draining = false
    server.healthy = true
    server.ejectedUntilMs = 0
    server.ejectedFor = null
  }
})

test('the value depends on key, service and server, and is stable across versions', () => {
  assert.is(cookieValueOf('key', 'shop', 'a'), A)
  assert.match(A, /^[A-Za-z0-9_-]{22}$/)
  assert.is(new Set([A, B, C, cookieValueOf('key', 'blog', 'a'), cookieValueOf('other', 'shop', 'a')]).size, 5)
  assert.is.not(cookieValueOf('key', 'ab', 'c'), cookieValueOf('key', 'a', 'bc'))
  assert.is(A, 'psM8c-U3wVpa_Rf7Io7rFA')
})

test('a cookie of another accepted key: same server, renewed under the current key', () => {
  const other = servers('a', 'b', 'c')
  prepareSticky('new', 'shop', sticky, other, ['older', 'key'])
  const at = (value: string) => cookies.find(requestHead([`Cookie: ${NAME}=${value}`]), `${NAME}=`, other, null, 0)?.id ?? null
  for (const [id, value] of [
    ['a', A],
    ['b', B],
    ['c', C],
    ['b', cookieValueOf('older', 'shop', 'b')],
  ] as const) {
    assert.is(at(value), id)
    assert.ok(cookies.renew)
  }
  assert.is(at(cookieValueOf('new', 'shop', 'c')), 'c')
  assert.not.ok(cookies.renew)
  // Made under a key that is not accepted: treated as the session of a removed server.
  assert.ok(['a', 'b', 'c'].includes(at(cookieValueOf('unknown', 'shop', 'c'))!))
  assert.ok(cookies.renew)
})

test('the cookie is found at any position', () => {
  assert.is(find(`${NAME}=${A}`), 'a')
  assert.is(find(`x=1; ${NAME}=${B}; y=2`), 'b')
  assert.is(find(`x=1;${NAME}=${B};y=2`), 'b')
  assert.is(find(`x=1;\t ${NAME}=${C} \t`), 'c')
  assert.is(find('x=1', `y=2; ${NAME}=${C}`), 'c')
})

test('similar names and values are ignored', () => {
  assert.is(find(), null)
  assert.is(find(''), null)
  assert.is(find(`X${NAME}=${A}`), null)
  assert.is(find(`x ${NAME}=${A}`), null)
  assert.is(find(`${NAME}X=${A}`), null)
  assert.is(find(`${NAME} =${A}`), null)
  assert.is(find(`${NAME}= ${A}`), null)
  assert.is(find(`${NAME}=${A}x`), null)
  assert.is(find(`${NAME}=${A} x`), null)
  assert.is(find(`${NAME}=${A.slice(0, 18)}<b>"`), null)
  assert.is(find(`${NAME}=${A.slice(0, 21)}`), null)
  assert.is(find(`${NAME}="${A}"`), null)
  assert.is(find(`${NAME}=`), null)
  assert.is(find(NAME), null)
  assert.is(find(`x=${NAME}=${A}`), null)
  assert.is(find(`${NAME.toLowerCase()}=${A}`), null)
  assert.is(find(`${NAME}=${'!'.repeat(22)}`), null)
  assert.is(find(`${NAME}=http://10.0.0.0`), null)
  assert.is(find(`${NAME}=http://10.0.0.0:80/`), null)
  assert.is(find(`${NAME}=http://${'a'.repeat(300)}:80`), null)
  assert.is(find(`${NAME}=${A.repeat(400)}`), null)
  assert.is(cookies.find(requestHead([`Cookie: =${A}`]), '=', list, null, 0), null)
})

test('a server without a value is never named', () => {
  const bare = servers('a')
  assert.is(cookies.find(requestHead([`Cookie: ${NAME}=`]), `${NAME}=`, bare, null, 0), null)
  assert.is(cookies.find(requestHead([`Cookie: ${NAME}=${A}`]), `${NAME}=`, bare, null, 0)?.id, 'a')
  assert.ok(cookies.renew)
})

test('several cookies: the first that names a usable server wins', () => {
  assert.is(find(`${NAME}=gone; ${NAME}=${B}; ${NAME}=${A}`), 'b')
  assert.is(find(`${NAME}=${GONE}; ${NAME}=${B}; ${NAME}=${A}`), 'b')
  list[1]!.draining = true
  assert.is(find(`${NAME}=${B}; ${NAME}=${A}`), 'a')
})

test('server gone or unusable: every replica picks the same other one and renews', () => {
  const heir = found(GONE)
  assert.match(heir!, /^[abc]\+$/)
  assert.is(cookies.find(requestHead([`Cookie: ${NAME}=${GONE}`]), `${NAME}=`, [...list].reverse(), null, 0)?.id, heir![0])
  const gone = Array.from({ length: 300 }, (_, i) => found(cookieValueOf('key', 'shop', `gone-${i}`)))
  assert.equal([...new Set(gone)].sort(), ['a+', 'b+', 'c+'])
  for (const harm of [{ draining: true }, { healthy: false }, { ejectedUntilMs: 50 }]) {
    const before = { ...list[1]! }
    Object.assign(list[1]!, harm)
    assert.match(found(B)!, /^[ac]\+$/, JSON.stringify(harm))
    Object.assign(list[1]!, { draining: before.draining, healthy: true, ejectedUntilMs: 0 })
    assert.is(found(B), 'b')
  }
})

test('a server of weight 0 keeps its clients and gets no new ones', () => {
  list[1]!.weight = 0
  assert.is(found(B), 'b', 'no new cookie either')
  const gone = Array.from({ length: 100 }, (_, i) => found(cookieValueOf('key', 'shop', `gone-${i}`)))
  assert.equal([...new Set(gone)].sort(), ['a+', 'c+'])
  list[1]!.healthy = false
  assert.match(found(B)!, /^[ac]\+$/)
  Object.assign(list[1]!, { healthy: true, weight: 1 })
})

test('a failed attempt or a slow connect moves no session', () => {
  assert.match(found(B, [list[1]!])!, /^[ac]$/)
  list[1]!.ejectedUntilMs = 50
  list[1]!.ejectedFor = 'doubt'
  assert.match(found(B, null, 49)!, /^[ac]$/)
  assert.is(found(B, null, 50), 'b')
})

test('all servers ejected: sessions stay', () => {
  for (const server of list) server.ejectedUntilMs = 50
  for (const [value, id] of [
    [A, 'a'],
    [B, 'b'],
    [C, 'c'],
  ] as const) {
    assert.is(found(value), id)
  }
  assert.match(found(B, [list[1]!])!, /^[ac]\+$/)
  for (const server of list) server.healthy = false
  assert.is(found(B), null)
})

test('a cookie of Traefik v1 leads to its server and is replaced', () => {
  assert.is(found('http://10.0.0.1:80'), 'b+')
  assert.match(found('http://10.0.0.9:80')!, /^[abc]\+$/)
  assert.match(found('http://evil.example:80')!, /^[abc]\+$/)
  assert.is(cookies.tag, '', 'it is as long as ours')
  assert.match(found('https://10.0.0.1:80')!, /^[abc]\+$/)
  const six = servers('a', 'b')
  six[1]!.host = 'fd00::2'
  prepareSticky('key', 'shop', sticky, six)
  assert.is(six[1]!.traefikValue, 'http://[fd00::2]:80')
  assert.is(cookies.find(requestHead([`Cookie: ${NAME}=http://[fd00::2]:80`]), `${NAME}=`, six, null, 0)?.id, 'b')
})

test('only the first few of thousands of cookies are examined', () => {
  assert.is(find(`${`${NAME}=${'!'.repeat(22)}; `.repeat(8)}${NAME}=${A}`), null)
  assert.is(find(`${`${NAME}=${'!'.repeat(22)}; `.repeat(7)}${NAME}=${A}`), 'a')
})

test('random bytes never throw and never match', () => {
  const random = seeded(7)
  const pieces = [NAME, '=', ';', ' ', '\t', A.slice(0, 11), 'x', '"', '\u00ff', ',', 'http://']
  for (let i = 0; i < 5000; i++) {
    let text = ''
    for (let n = 0; n < 12; n++) text += pieces[Math.floor(random() * pieces.length)]
    if (!/=[\w-]{22}[;\s]|=[\w-]{22}$/.test(text)) assert.is(find(text), null, text)
  }
})

test('sessions of a removed server spread over the others and keep their tags', () => {
  const counts = new Map<string, number>()
  for (let i = 0; i < 3000; i++) {
    const value = `${GONE.slice(0, 18)}${String(i).padStart(4, '0')}`
    const id = found(value)!
    counts.set(id, (counts.get(id) ?? 0) + 1)
    assert.is(cookies.tag, value.slice(18))
    if (i < 100)
      assert.is(cookies.find(requestHead([`Cookie: ${NAME}=${value}`]), `${NAME}=`, [...list].reverse(), null, 0)?.id, id[0])
  }
  assert.equal([...counts.keys()].sort(), ['a+', 'b+', 'c+'])
  for (const count of counts.values()) assert.ok(count > 850 && count < 1150, `${count}`)
})

test("two services overwrite each other's cookie: each keeps its servers", () => {
  const names = ['shop', 'blog', 'news']
  const services = names.map(service => {
    const own = servers('a', 'b', 'c', 'd', 'e')
    prepareSticky('key', service, sticky, own)
    return own
  })
  for (let session = 0; session < 50; session++) {
    let value = /=([^;]*)/.exec(setCookie(services[0]![session % 5]!, '').value('Set-Cookie')!)![1]!
    const seen = services.map(() => new Set<string>())
    for (let turn = 0; turn < 30; turn++) {
      // The browser keeps the cookie of the last response; the first server is no longer known.
      const at = (turn + 1) % services.length
      const head = requestHead([`Cookie: ${NAME}=${value}`])
      const server = cookies.find(head, `${NAME}=`, services[at]!, null, 0)!
      if (cookies.renew) value = /=([^;]*)/.exec(setCookie(server, cookies.tag).value('Set-Cookie')!)![1]!
      seen[at]!.add(server.id)
    }
    for (const [at, ids] of seen.entries()) assert.is(ids.size, 1, `${names[at]}: ${[...ids]}`)
  }
})

test('a set cookie names its server whatever its tag; new sessions get new tags', () => {
  const lines = Array.from({ length: 200 }, () => setCookie(list[0]!, '').value('Set-Cookie')!)
  assert.ok(new Set(lines).size > 190)
  for (const line of lines) {
    const value = /^_TRAEFIK_BACKEND=([\w-]{22}); Path=\/; HttpOnly; Secure; SameSite=Lax$/.exec(line)?.[1]
    assert.is(found(value!), 'a')
  }
  assert.is(setCookie(list[0]!, 'tags').value('Set-Cookie')!.slice(17, 39), `${A.slice(0, 18)}tags`)
  assert.is(found(A), 'a', 'as it was written before there were tags')
})

test('attributes', () => {
  assert.is(cookieAttributes(sticky), '; Path=/; HttpOnly; Secure; SameSite=Lax')
  assert.is(cookieAttributes({ ...sticky, secure: false, sameSite: 'none' }), '; Path=/; HttpOnly; Secure; SameSite=None')
  assert.is(cookieAttributes({ ...sticky, secure: false, httpOnly: false, sameSite: 'strict' }), '; Path=/; SameSite=Strict')
  assert.is(cookieAttributes({ name: 'n', secure: false, httpOnly: false, sameSite: null }), '; Path=/')
})

test('the unavailable server of a cookie is reported unless it is unusable', () => {
  const [a] = list as [UpstreamServer]
  assert.is(found(A), 'a')
  assert.is(cookies.affinityUnavailable, null)
  found(A, [a])
  assert.is(cookies.affinityUnavailable, a)
  a.ejectedUntilMs = 100
  found(A, null, 50)
  assert.is(cookies.affinityUnavailable, a)
  assert.is(search([`${NAME}=${A}; ${NAME}=${B}`], null, 50), 'b')
  assert.is(cookies.affinityUnavailable, null, 'another cookie leads somewhere')
  a.draining = true
  found(A, null, 50)
  assert.is(cookies.affinityUnavailable, null)
  found(GONE)
  assert.is(cookies.affinityUnavailable, null)
})

test.run()
