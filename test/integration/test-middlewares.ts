// Kinds of middlewares for tests: one that replies, one that waits, one that edits responses, one that counts. Not a test itself.

import type { CompiledMiddleware } from '../../src/middlewares/middleware.ts'
import { defineMiddleware } from '../../src/middlewares/middleware.ts'
import { MiddlewareRegistry } from '../../src/middlewares/registry.ts'
import { Wait } from '../../src/middlewares/wait.ts'
import { FieldList, NO_FIELDS } from '../../src/proxy/message/field-list.ts'
import type { MiddlewareReply } from '../../src/proxy/message/local-reply.ts'

const FORBIDDEN: MiddlewareReply = { status: 401, fields: new FieldList('WWW-Authenticate', 'Basic'), body: null }

/** Waits of the middleware `wait` that are pending or were cancelled, in order. */
export class Waits {
  readonly all: Wait[] = []
  cancelled = 0

  add(): Wait {
    const wait = new Wait(() => this.cancelled++)
    this.all.push(wait)
    return wait
  }
}

export interface TestMiddlewares {
  readonly registry: MiddlewareRegistry
  readonly waits: Waits
  /** Middlewares that were closed, by kind. */
  readonly closed: string[]
}

export function testMiddlewares(): TestMiddlewares {
  const waits = new Waits()
  const closed: string[] = []
  const kind = (name: string, compile: (options: Readonly<Record<string, unknown>>) => CompiledMiddleware | string) =>
    defineMiddleware<{ readonly kind: string }>({
      kind: name,
      feature: null,
      schema: z => z.looseObject({ kind: z.literal(name) }),
      compile: description => compile(description as Readonly<Record<string, unknown>>),
    })
  const registry = new MiddlewareRegistry([
    kind('auth', () => ({ request: x => (x.header('authorization') === 'yes' ? undefined : FORBIDDEN) })),
    kind('wait', () => ({ request: x => (x.header('x-wait') === undefined ? undefined : waits.add()) })),
    kind('ready', () => ({
      request: () => {
        const wait = new Wait(() => {})
        wait.resume()
        return wait
      },
    })),
    kind('headers', ({ value }) => ({
      response: (_x, response) => {
        response.setHeader('X-Frame', [...response.headers('x-frame'), String(value)].join(','))
        response.removeHeader('server')
        response.setHeader('content-length', '1')
        response.setHeader('x-bad', 'a\r\nb')
      },
    })),
    kind('count', ({ limit }) => {
      let count = 0
      return {
        request: () => (++count > Number(limit) ? { status: 429, fields: NO_FIELDS, body: `used ${count}\n` } : undefined),
        close: () => void closed.push('count'),
      }
    }),
    kind('throws', () => ({
      request: () => {
        throw new Error('broken')
      },
    })),
    kind('doubles', () => ({
      requestBody: (_x, next) => ({
        write: content => next.write(Buffer.concat([content, content])),
        end: () => next.end(),
      }),
    })),
    kind('brackets', () => ({
      responseBody: (_x, response, next) => {
        if (response.header('content-type') === 'image/png') return undefined
        let open = false
        const start = (): void => {
          if (!open) next.write(Buffer.from('<'))
          open = true
        }
        return {
          write: content => {
            start()
            return next.write(content)
          },
          end: () => {
            start()
            next.write(Buffer.from('>'))
            next.end()
          },
        }
      },
    })),
    kind('bodyFails', ({ of }) => {
      const sink = {
        write: () => {
          throw new Error('bad content')
        },
        end: () => {},
      }
      return of === 'request' ? { requestBody: () => sink } : { responseBody: () => sink }
    }),
    kind('endFails', () => ({
      responseBody: (_x, _response, next) => ({
        write: content => next.write(content),
        end: () => {
          throw new Error('no end')
        },
      }),
    })),
    kind('sinkThrows', () => ({
      requestBody: () => {
        throw new Error('no sink')
      },
    })),
    kind('pauses', () => ({
      requestBody: (_x, next) => ({
        write: content => {
          next.write(content)
          return false
        },
        end: () => next.end(),
      }),
    })),
    kind('responseThrows', () => ({
      response: () => {
        throw new Error('no edit')
      },
    })),
    kind('cancelThrows', () => ({
      request: x => {
        if (x.header('x-wait') === undefined) return undefined
        return new Wait(() => {
          waits.cancelled++
          throw new Error('no cancel')
        })
      },
    })),
    kind('closeThrows', () => ({
      close: () => {
        closed.push('closeThrows')
        throw new Error('no close')
      },
    })),
    kind('hostile', () => ({
      request: () => ({
        status: 403,
        fields: new FieldList(
          'X-Good',
          'a',
          'X-Bad',
          'a\u010d\u010aEvil: 1',
          'X Name',
          'a',
          'Content-Length',
          '99',
          'Connection',
          'close',
        ),
        body: 'no\n',
      }),
    })),
    kind('broken', () => 'it does not compile'),
  ])
  return { registry, waits, closed }
}
