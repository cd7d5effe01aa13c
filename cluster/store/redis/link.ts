// The two connections to the Redis that holds the keys: one for commands, one for the subscription. When either is lost or does
// not respond, the whole link is lost and a new one is opened.

import { type Client, openClient } from './client.ts'
import type { Locate } from './locate.ts'
import type { HostPort, RedisStoreOptions } from './options.ts'
import { formatHostPort } from './options.ts'
import type { Script } from './scripts.ts'

export interface Link {
  readonly at: string
  /** Rejects when the link is lost; never resolves. */
  readonly lost: Promise<never>
  /** Marks the link as lost. */
  fail(error: Error): void
  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>
  /** One step of a scan over the keys of a pattern. The cursor is '0' at the end. */
  scan(cursor: string, pattern: string, count: number): Promise<{ readonly cursor: string; readonly keys: readonly string[] }>
  /** Rejects when the subscription's connection does not respond. */
  ping(): Promise<void>
  close(): void
}

/** @param found receives the server's address before the first command, to name it in errors */
export async function openLink(
  options: RedisStoreOptions,
  locate: Locate,
  channel: string,
  onMessage: (body: Buffer) => void,
  found: (at: string) => void,
): Promise<Link> {
  const address = await locate()
  found(formatHostPort(address))
  let lose: (error: Error) => void = () => {}
  const lost = new Promise<never>((_, reject) => {
    lose = reject
  })
  lost.catch(() => {})
  const opened = await Promise.allSettled([openFor(options, address, lose), openFor(options, address, lose)])
  const clients = opened.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  const close = (): void => {
    for (const client of clients) client.close()
  }
  try {
    for (const result of opened) if (result.status === 'rejected') throw result.reason
    const [commands, listener] = clients as [Client, Client]
    if (options.database !== 0) await commands.call('SELECT', options.database)
    await listener.subscribe(channel, onMessage)
    return {
      at: commands.at,
      lost,
      fail: lose,
      close,
      run: (script, keys, args) => commands.run(script, keys, args),
      async scan(cursor, pattern, count) {
        const [next, keys] = (await commands.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', count)) as [string, string[]]
        return { cursor: next, keys }
      },
      async ping() {
        await listener.call('PING')
      },
    }
  } catch (error) {
    close()
    throw error
  }
}

function openFor(options: RedisStoreOptions, address: HostPort, lose: (error: Error) => void): Promise<Client> {
  return openClient(address, options, options.tls, lose)
}
