// The secret state of single members: writing, merging from a peer, limits, rotation, and hostile peers.

import { randomBytes } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SecretCore, type SecretEffect, type SecretEvent, type Written } from '../../../../cluster/secrets/core.ts'
import {
  contextOf,
  encodeManifest,
  makeRecord,
  SECRET_LIMITS,
  type SecretRecord,
  type SecretVersion,
  sha256,
} from '../../../../cluster/secrets/record.ts'
import { Records } from '../../../../cluster/secrets/records.ts'
import { Keyring, OVERHEAD_BYTES } from '../../../../cluster/secrets/sealing.ts'

function member(id: string, secrets: readonly string[] = ['secret'], kept: Iterable<SecretRecord> = []): SecretCore {
  return new SecretCore({ id, keyring: new Keyring(secrets, 'skein', randomBytes), kept })
}

function leader(id: string, term: number, secrets?: readonly string[], kept?: Iterable<SecretRecord>): SecretCore {
  const core = member(id, secrets, kept)
  core.step({ kind: 'role', term, leading: true }, 0)
  return core
}

function put(core: SecretCore, name: string, value: string): void {
  assert.ok(core.put(name, Buffer.from(value)).ok)
}

const tombstones = new Keyring(['secret'], 'skein', randomBytes)

function tombstone(name: string, version: SecretVersion): SecretRecord {
  return makeRecord(name, version, tombstones.seal(Buffer.alloc(0), contextOf({ name, version, deleted: true })), true)
}

/** Entries n0, n1, ... as a leader would have written them. */
function* sealedRecords(count: number): Iterable<SecretRecord> {
  const keyring = new Keyring(['secret'], 'skein', randomBytes)
  for (let i = 0; i < count; i++) {
    const sealed = keyring.seal(Buffer.from(`v${i}`), JSON.stringify([`n${i}`, 1, i, 'w', 0, false]))
    yield makeRecord(`n${i}`, { term: 1, sequence: i, writer: 'w', seal: 0 }, sealed)
  }
}

/** Entries that no accepted secret opens, which fill `total` bytes up to less than one value of `size` and its overhead. */
function filling(total: number, size: number): SecretRecord[] {
  const sealed = Buffer.alloc(size + OVERHEAD_BYTES)
  sealed[0] = 1
  const count = Math.floor(total / sealed.length) - 1
  return Array.from({ length: count }, (_, i) => ({
    name: `f${i}`,
    version: { term: 1, sequence: i, writer: 'f', seal: 0 },
    deleted: false,
    sealed,
    hash: sha256(`${i}`),
  }))
}

const text = (core: SecretCore, name: string): string | null => core.get(name)?.toString() ?? null
const reason = (written: Written): string | null => (written.ok ? null : written.reason)

/** `to` merges from `from` until nothing is left to pull. @returns the number of pulls */
function merge(to: SecretCore, from: SecretCore, nowMs = 0): number {
  let pulls = 0
  let event: SecretEvent | null = { kind: 'peers', digests: new Map([['peer', from.digest]]) }
  while (event !== null) {
    const pull: Extract<SecretEffect, { kind: 'pull' }> | undefined = to.step(event, nowMs).find(effect => effect.kind === 'pull')
    event = null
    if (pull === undefined) break
    pulls++
    const body = from.bodyOf(pull.hash)
    event =
      body === null
        ? { kind: 'pullFailed', from: 'peer', hash: pull.hash }
        : { kind: 'pulled', from: 'peer', hash: pull.hash, body }
  }
  return pulls
}

/** A peer offers a root with these manifests, and the bodies in `more`. @returns the hashes pulled, at most `max` */
function offer(core: SecretCore, manifests: readonly string[], more: readonly string[] = [], max = 100): string[] {
  const hashes = manifests.map(sha256)
  const root = Array.from({ length: 64 }, (_, i) => hashes[i] ?? hashes.at(-1)!).join('\n')
  const bodies = new Map([root, ...manifests, ...more].map(body => [sha256(body), body]))
  const pulled: string[] = []
  let effects = core.step({ kind: 'peers', digests: new Map([['peer', sha256(root)]]) }, 0)
  while (pulled.length < max) {
    const pull = effects.find(effect => effect.kind === 'pull')
    if (pull?.kind !== 'pull') break
    pulled.push(pull.hash)
    const body = bodies.get(pull.hash)
    effects = core.step(
      body === undefined
        ? { kind: 'pullFailed', from: 'peer', hash: pull.hash }
        : { kind: 'pulled', from: 'peer', hash: pull.hash, body },
      0,
    )
  }
  return pulled
}

/** How often `act` iterates over all records. */
function countScans(act: () => void): number {
  const { all } = Records.prototype
  let scans = 0
  Records.prototype.all = function (this: Records) {
    scans++
    return all.call(this)
  }
  try {
    act()
  } finally {
    Records.prototype.all = all
  }
  return scans
}

test('only a leader writes', () => {
  const core = member('a')
  assert.is(reason(core.put('n', Buffer.from('v'))), 'not leader')
  assert.is(reason(core.remove('n')), 'not leader')
  core.step({ kind: 'role', term: 1, leading: true }, 0)
  put(core, 'n', 'v')
  assert.is(text(core, 'n'), 'v')
  core.step({ kind: 'role', term: 2, leading: false }, 0)
  assert.is(reason(core.put('n', Buffer.from('w'))), 'not leader')
})

test('a write is saved, announced and reported; an equal one is not', () => {
  const core = leader('a', 1)
  const written = core.put('n', Buffer.from('v'))
  assert.equal(written.ok && written.effects.map(({ kind }) => kind), ['save', 'changed', 'digest'])
  const again = core.put('n', Buffer.from('v'))
  assert.equal(again.ok && again.effects, [])
})

test('names, sizes and numbers of entries are bounded', () => {
  const core = leader('a', 1)
  assert.is(reason(core.put('a\nb', Buffer.alloc(1))), 'invalid name')
  assert.is(reason(core.put('n', Buffer.alloc(SECRET_LIMITS.value + 1))), 'too large')
  assert.is(reason(core.put('n', Buffer.alloc(SECRET_LIMITS.value))), null)
})

test('the number of entries is bounded, and 10,000 entries are merged', () => {
  const core = leader('a', 1, ['secret'], sealedRecords(SECRET_LIMITS.entries))
  assert.is(reason(core.put('one more', Buffer.from('v'))), 'full')
  put(core, 'n1', 'another value')
  assert.ok(core.remove('n1').ok)
  put(core, 'one more', 'v')
  assert.is(core.status().entries, SECRET_LIMITS.entries)
  const other = member('b')
  merge(other, core)
  assert.is(other.digest, core.digest)
})

test('a member pulls what it lacks: root, manifests, records', () => {
  const [a, b] = [leader('a', 1), member('b')]
  for (let i = 0; i < 200; i++) put(a, `n${i}`, `v${i}`)
  merge(b, a)
  assert.is(b.digest, a.digest)
  assert.is(text(b, 'n199'), 'v199')
  assert.ok(b.status().synced)
  put(a, 'n7', 'changed')
  assert.is(merge(b, a), 3, 'one root, one manifest, one record')
  assert.ok(a.remove('n8').ok)
  assert.is(merge(b, a), 2, 'a deletion is in the manifest')
  assert.is(text(b, 'n8'), null)
})

test('both sides of a partition keep their entries; of one name the later write wins', () => {
  const [a, b] = [leader('a', 5), leader('b', 6)]
  put(a, 'of a', '1')
  put(b, 'of b', '2')
  put(a, 'both', 'a')
  put(b, 'both', 'b')
  merge(a, b)
  merge(b, a)
  assert.is(a.digest, b.digest)
  assert.equal(a.names(), ['both', 'of a', 'of b'])
  assert.is(text(a, 'both'), 'b')
  put(a, 'both', 'later')
  merge(b, a)
  assert.is(text(b, 'both'), 'later', 'a write dominates all that its writer holds, even from a higher term')
})

test('a deletion is not undone by a member that was away', () => {
  const [a, b] = [leader('a', 1), member('b')]
  put(a, 'n', 'v')
  merge(b, a)
  assert.ok(a.remove('n').ok)
  merge(a, b)
  assert.is(text(a, 'n'), null)
  merge(b, a)
  assert.is(text(b, 'n'), null)
})

test('rotation: a leader seals entries again, and a member with the new secret only opens them', () => {
  const before = leader('a', 1, ['old'])
  for (let i = 0; i < 40; i++) put(before, `n${i}`, `v${i}`)
  const both = leader('b', 2, ['new', 'old'], before.records())
  assert.is(both.status().outdated, 40)
  const changed = [0, 1, 2].flatMap(() => both.step({ kind: 'tick' }, 0)).filter(({ kind }) => kind === 'changed')
  assert.equal(changed, [], 'the values are the same')
  assert.is(both.status().outdated, 0)
  const after = member('c', ['new'], both.records())
  assert.equal([text(after, 'n0'), text(after, 'n39'), after.status().unreadable], ['v0', 'v39', 0])
})

test('an entry sealed again does not override a later write of the other side', () => {
  const origin = leader('a', 1, ['old'])
  put(origin, 'n', 'v')
  const [writing, resealing] = [leader('b', 2, ['old'], origin.records()), leader('c', 9, ['new', 'old'], origin.records())]
  put(writing, 'n', 'renewed')
  resealing.step({ kind: 'tick' }, 0)
  merge(resealing, writing)
  assert.is(text(resealing, 'n'), 'renewed')
})

test('an entry that no accepted secret opens is kept, passed on and counted', () => {
  const origin = leader('a', 1, ['lost'])
  put(origin, 'n', 'v')
  const between = member('b', ['secret'])
  merge(between, origin)
  assert.equal([text(between, 'n'), between.status().unreadable], [null, 1])
  const holder = member('c', ['lost'])
  merge(holder, between)
  assert.is(text(holder, 'n'), 'v')
})

test('a failed pull is repeated after a growing delay; another peer is asked at once', () => {
  const [a, b] = [leader('a', 1), member('b')]
  put(a, 'n', 'v')
  const digests = new Map([
    ['p', a.digest],
    ['q', a.digest],
  ])
  const pulls = (event: SecretEvent, nowMs: number) =>
    b.step(event, nowMs).flatMap(effect => (effect.kind === 'pull' ? [effect.from] : []))
  assert.equal(pulls({ kind: 'peers', digests }, 0), ['p'])
  assert.equal(pulls({ kind: 'pullFailed', from: 'p', hash: a.digest }, 0), ['q'])
  assert.equal(pulls({ kind: 'pullFailed', from: 'q', hash: a.digest }, 0), [])
  assert.equal(pulls({ kind: 'tick' }, 199), [])
  assert.equal(pulls({ kind: 'tick' }, 200), ['p'])
  assert.equal(pulls({ kind: 'tick' }, 200 + 90_000), ['q'], 'a pull without a result is abandoned')
})

test('invalid bodies of a peer are refused and change nothing', () => {
  const [a, b] = [leader('a', 1), member('b')]
  put(a, 'n', 'v')
  const empty = b.digest
  const forged = makeRecord('n', { term: 9, sequence: 1, writer: 'x', seal: 0 }, Buffer.from('no seal'))
  const manifest = JSON.stringify([['n', 9, 1, 'x', 0, forged.hash, Buffer.alloc(OVERHEAD_BYTES).toString('base64')]])
  for (const root of ['', 'x', `${sha256('')}\n`.repeat(64).trimEnd(), `${sha256(manifest)}\n`.repeat(64).trimEnd()]) {
    const core = member('c')
    core.step({ kind: 'peers', digests: new Map([['p', sha256(root)]]) }, 0)
    const next = core.step({ kind: 'pulled', from: 'p', hash: sha256(root), body: root }, 0).find(({ kind }) => kind === 'pull')
    if (next?.kind === 'pull')
      core.step({ kind: 'pulled', from: 'p', hash: next.hash, body: next.hash === sha256('') ? '' : manifest }, 0)
    assert.is(core.digest, empty)
    assert.is(core.status().refused, 1)
  }
  b.step({ kind: 'peers', digests: new Map([['p', a.digest]]) }, 0)
  b.step({ kind: 'pulled', from: 'p', hash: a.digest, body: `${a.bodyOf(a.digest)} ` }, 0)
  assert.is(b.digest, empty, 'a body that does not match its hash')
})

test('tombstones are bounded: the oldest is evicted and erased from disk', () => {
  const kept = Array.from({ length: SECRET_LIMITS.tombstones }, (_, i) =>
    tombstone(`n${i}`, { term: 1, sequence: i, writer: 'w', seal: 0 }),
  )
  const core = leader('a', 1, ['secret'], kept)
  const written = core.remove('one more')
  assert.equal(written.ok && written.effects.filter(({ kind }) => kind === 'erase'), [{ kind: 'erase', name: 'n0' }])
  assert.is(core.status().tombstones, SECRET_LIMITS.tombstones)
})

test('a manifest of many tombstones above the limit scans all records once', () => {
  const kept = Array.from({ length: SECRET_LIMITS.tombstones }, (_, i) =>
    tombstone(`n${i}`, { term: 1, sequence: i, writer: 'w', seal: 0 }),
  )
  const core = member('a', ['secret'], kept)
  const manifest = encodeManifest(
    Array.from({ length: 4000 }, (_, i) => tombstone(`m${i}`, { term: 2, sequence: i, writer: 'w', seal: 0 })),
  )
  const scans = countScans(() => {
    offer(core, [manifest])
  })
  assert.is(scans, 1)
  assert.is(core.status().tombstones, SECRET_LIMITS.tombstones)
  assert.is(core.status().refused, 0)
})

test('a manifest with more records than a bucket can hold is refused', () => {
  const core = member('a')
  const entries = (count: number) =>
    encodeManifest(Array.from({ length: count }, (_, i) => tombstone(`m${i}`, { term: 2, sequence: i, writer: 'w', seal: 0 })))
  offer(core, [entries(4097)])
  assert.equal([core.status().refused, core.status().tombstones], [1, 0])
})

test('a root of another length is refused before it is split', () => {
  const core = member('a')
  const root = '\n'.repeat(1_000_000)
  const { split } = String.prototype
  let splits = 0
  const counting = function (this: string, ...args: unknown[]): string[] {
    if (this.length >= root.length) splits++
    return Reflect.apply(split, this, args)
  }
  String.prototype.split = counting as typeof split
  try {
    core.step({ kind: 'peers', digests: new Map([['p', sha256(root)]]) }, 0)
    core.step({ kind: 'pulled', from: 'p', hash: sha256(root), body: root }, 0)
  } finally {
    String.prototype.split = split
  }
  assert.equal([splits, core.status().refused], [0, 1])
})

test('the number of queued pulls is bounded, even when manifests refer to manifests', () => {
  const manifests = [encodeManifest([tombstone('t', { term: 1, sequence: 1, writer: 'w', seal: 0 })])]
  for (let i = 0; i < 12; i++) {
    const hash = sha256(manifests.at(-1)!)
    manifests.push(JSON.stringify(Array.from({ length: 4096 }, (_, k) => [`n${i} ${k}`, 1, 1, 'w', 0, hash, null])))
  }
  const core = member('a')
  assert.ok(offer(core, manifests).length < 70)
  assert.is(core.status().refused, 1)
})

test('a corrupt record from the disk is dropped, and a peer replaces it', () => {
  const origin = leader('a', 1)
  put(origin, 'n', 'v')
  const [record] = [...origin.records()]
  const { name, version, sealed } = record!
  const damaged = Buffer.from(sealed)
  damaged[damaged.length - 1]! ^= 1
  for (const each of [makeRecord(name, version, damaged), makeRecord(name, { ...version, term: 7 }, sealed)]) {
    const core = member('b', ['secret'], [each])
    assert.equal([core.status().entries, core.status().refused], [0, 1])
    merge(core, origin)
    assert.is(text(core, 'n'), 'v')
  }
})

test('at capacity an entry can be replaced, and an equal value is no write', () => {
  const size = SECRET_LIMITS.value
  const origin = leader('a', 1)
  assert.ok(origin.put('n', Buffer.alloc(size, 1)).ok)
  const core = leader('b', 2, ['secret'], [...origin.records(), ...filling(SECRET_LIMITS.total, size)])
  const again = core.put('n', Buffer.alloc(size, 1))
  assert.equal(again.ok && again.effects, [])
  assert.is(reason(core.put('n', Buffer.alloc(size, 2))), null)
  assert.is(reason(core.put('more', Buffer.alloc(size))), 'full')
})

test('at twice the capacity a record of a peer replaces an older one', () => {
  const size = SECRET_LIMITS.value
  const origin = leader('a', 1)
  assert.ok(origin.put('n', Buffer.alloc(size, 1)).ok)
  const core = member('b', ['secret'], [...origin.records(), ...filling(2 * SECRET_LIMITS.total, size)])
  assert.ok(origin.put('n', Buffer.alloc(size, 2)).ok)
  merge(core, origin)
  assert.equal([core.status().refused, core.get('n')?.[0]], [0, 2])
})

test('a merge announces the digest once, at its end', () => {
  const [a, b] = [leader('a', 1), member('b')]
  for (let i = 0; i < 50; i++) put(a, `n${i}`, `v${i}`)
  const announced: string[] = []
  const step = b.step.bind(b)
  b.step = (event, nowMs) => {
    const effects = step(event, nowMs)
    for (const effect of effects) if (effect.kind === 'digest') announced.push(effect.digest)
    return effects
  }
  merge(b, a)
  assert.equal(announced, [a.digest])
})

test('the announced root can be pulled during a long merge', () => {
  const [a, b] = [leader('a', 1), member('b')]
  for (let i = 0; i < 300; i++) put(a, `n${i}`, `v${i}`)
  const announced = b.digest
  const step = b.step.bind(b)
  let missing = 0
  b.step = (event, nowMs) => {
    const effects = step(event, nowMs)
    if (b.bodyOf(announced) === null) missing++
    return effects
  }
  merge(b, a)
  assert.is(b.digest, a.digest)
  assert.is(missing, 0)
})

test('nothing is pulled from peers whose state is an earlier or a merged one', () => {
  const [a, b] = [leader('a', 1), member('b')]
  assert.is(merge(a, member('c')), 0)
  put(a, 'n1', 'v')
  assert.is(merge(a, member('c')), 0, 'a peer that is empty')
  merge(b, a)
  put(a, 'n2', 'v')
  assert.is(merge(a, b), 0, 'a peer in an earlier state')
  const c = leader('c', 2)
  put(c, 'n3', 'v')
  merge(b, c)
  const effects = b.step({ kind: 'peers', digests: new Map([['other', c.digest]]) }, 0)
  assert.equal(effects, [], 'another peer in a state that was merged')
})

test('only manifests that may list something new are pulled, each once', () => {
  const a = leader('a', 1)
  const b = member('b', ['secret'], [...sealedRecords(1)])
  put(a, 'x', 'v')
  assert.is(merge(b, a), 3, 'one root, one manifest, one record')
  const core = member('c')
  const manifest = encodeManifest([tombstone('t', { term: 1, sequence: 1, writer: 'w', seal: 0 })])
  assert.is(offer(core, [manifest]).length, 2, 'a root that repeats a manifest')
})

test('an accepted body resets the back-off; an invalid one causes the longest', () => {
  const [a, b] = [leader('a', 1), member('b')]
  put(a, 'n', 'v')
  const pullOf = (effects: readonly SecretEffect[]) => effects.find(effect => effect.kind === 'pull')?.hash
  let nowMs = 0
  let hash = pullOf(b.step({ kind: 'peers', digests: new Map([['p', a.digest]]) }, nowMs))
  for (let failures = 0; failures < 6; failures++) {
    b.step({ kind: 'pullFailed', from: 'p', hash: hash! }, nowMs)
    nowMs += 10_000
    hash = pullOf(b.step({ kind: 'tick' }, nowMs))
  }
  hash = pullOf(b.step({ kind: 'pulled', from: 'p', hash: a.digest, body: a.bodyOf(a.digest)! }, nowMs))
  b.step({ kind: 'pullFailed', from: 'p', hash: hash! }, nowMs)
  nowMs += 200
  hash = pullOf(b.step({ kind: 'tick' }, nowMs))
  assert.is(hash, a.digest)
  b.step({ kind: 'pulled', from: 'p', hash: a.digest, body: 'invalid' }, nowMs)
  assert.is(pullOf(b.step({ kind: 'tick' }, nowMs + 9_999)), undefined)
  assert.is(pullOf(b.step({ kind: 'tick' }, nowMs + 10_000)), a.digest)
})

test('a forged deletion is refused from a peer and from the disk', () => {
  const origin = leader('a', 1)
  put(origin, 'n', 'v')
  const [record] = [...origin.records()]
  const version = { term: 2, sequence: 1, writer: 'x', seal: 0 }
  const foreign = tombstone('other', version)
  for (const sealed of [foreign.sealed, Buffer.alloc(OVERHEAD_BYTES)]) {
    const forged = makeRecord('n', version, sealed, true)
    const core = member('b', ['secret'], [record!, forged])
    assert.equal([text(core, 'n'), core.status().refused], ['v', 1], 'disk')
    offer(core, [encodeManifest([forged])])
    assert.equal([text(core, 'n'), core.status().refused], ['v', 2], 'peer')
  }
  const flipped = makeRecord('n', record!.version, record!.sealed, true)
  assert.is(member('b', ['secret'], [flipped]).status().refused, 1, 'an entry marked as deleted')
  const deleted = member('b', ['secret'], [record!, tombstone('n', version)])
  assert.equal([text(deleted, 'n'), deleted.status().tombstones], [null, 1])
})

test('a term far above that of the cluster is refused from a peer and from the disk', () => {
  const far = tombstone('n', { term: 1_000_002, sequence: 1, writer: 'x', seal: 0 })
  const near = tombstone('m', { term: 1, sequence: 1, writer: 'x', seal: 0 })
  assert.is(member('b', ['secret'], [far, near]).status().refused, 1)
  const core = member('b', ['secret'], [near])
  offer(core, [encodeManifest([far])])
  assert.equal([core.status().refused, core.status().tombstones], [1, 1])
  const later = leader('c', 2)
  offer(later, [encodeManifest([far])])
  assert.equal([later.status().refused, later.status().tombstones], [0, 1], 'the cluster is in a later term')
  assert.is(member('b', ['secret'], [far, tombstone('k', { ...near.version, term: 2 })]).status().refused, 0)
})

test('rotation: deletions are sealed again', () => {
  const before = leader('a', 1, ['old'])
  assert.ok(before.remove('n').ok)
  const both = leader('b', 2, ['new', 'old'], before.records())
  both.step({ kind: 'tick' }, 0)
  assert.is(both.status().outdated, 0)
  assert.is(member('c', ['new'], both.records()).status().unreadable, 0)
})

test.run()
