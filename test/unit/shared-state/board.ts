// Fake stores of several replicas for the tests of shared state: a write reaches the others at the next flush(). Time is a
// number. Not a test itself.

import { type Change, compareStamps, type Entry, type PutOptions, type SharedStore } from '../../../cluster/store/model.ts'

interface Member {
  readonly id: string
  readonly held: Map<string, Entry & { readonly untilMs: number }>
  readonly changed: (changes: readonly Change[]) => void
}

export class Board {
  nowMs = 0
  /** Every write, as `<writer> <table> <value>`, null for a removal. */
  readonly writes: string[] = []
  private readonly members: Member[] = []
  private pending: { readonly from: string; readonly entry: Entry }[] = []
  private count = 0

  join(id: string, changed: (changes: readonly Change[]) => void): SharedStore {
    const member: Member = { id, held: new Map(), changed }
    this.members.push(member)
    const get = (table: string, key: string): Entry | null => {
      const one = member.held.get(`${table} ${key}`)
      return one === undefined || one.untilMs <= this.nowMs || one.value === null ? null : this.rest(one)
    }
    const write = (table: string, key: string, value: string | null, { ttlMs, rank = 1 }: PutOptions) => {
      const stamp = { wall: this.nowMs, count: this.count++, origin: id }
      const entry = { table, key, value, rank, ttlMs, ...stamp }
      this.writes.push(`${id} ${table} ${value}`)
      member.held.set(`${table} ${key}`, { ...entry, untilMs: this.nowMs + ttlMs })
      this.pending.push({ from: id, entry })
    }
    return {
      put: (table, key, value, options) => write(table, key, value, options),
      remove: (table, key) => write(table, key, null, { ttlMs: 60_000 }),
      get,
      entries: table => [...member.held.values()].flatMap(one => (one.table === table ? (get(table, one.key) ?? []) : [])),
      claim: (table, key, value, options) => {
        const held = get(table, key)?.value
        if (held === undefined) write(table, key, value, options)
        return Promise.resolve(held ?? value)
      },
      setTables() {},
      ready: () => Promise.resolve(),
      status() {
        throw new Error('not implemented')
      },
      stop: () => Promise.resolve(),
    }
  }

  /** Delivers the pending writes to all members except `lost`. */
  flush(lost: readonly string[] = []): void {
    const pending = this.pending.splice(0)
    for (const member of this.members) {
      const acceptsReports = (entry: Entry) => {
        const held = member.held.get(`${entry.table} ${entry.key}`)
        return held === undefined || compareStamps(entry, held) > 0
      }
      const news = pending.flatMap(({ from, entry }) => (from !== member.id && acceptsReports(entry) ? [entry] : []))
      if (lost.includes(member.id) || news.length === 0) continue
      for (const entry of news) {
        member.held.set(`${entry.table} ${entry.key}`, { ...entry, untilMs: this.nowMs + entry.ttlMs })
      }
      member.changed(news)
    }
  }

  private rest(one: Entry & { readonly untilMs: number }): Entry {
    const { untilMs, ...entry } = one
    return { ...entry, ttlMs: untilMs - this.nowMs }
  }
}
