// Runs the response part of a router's middlewares, last one first, over the head of a server's response or over a local reply.
// Only called for routers with such middlewares, so it may allocate.

import type { MiddlewareChain } from '../../middlewares/chain.ts'
import type { Exchange } from '../forward/exchange.ts'
import { FieldList, NO_FIELDS } from '../message/field-list.ts'
import type { Head } from '../message/head.ts'
import type { MiddlewareReply } from '../message/local-reply.ts'
import type { ResponseView } from '../message/response-view.ts'
import { isReserved, mayWrite } from '../message/writable-field.ts'

/** A server's response head: fields of the server are dropped in place, new ones are added to `x.addedToResponse`. */
export function runResponse(chain: MiddlewareChain, x: Exchange, head: Head): void {
  runOver(chain, chain.all.length - 1, x, viewOf(x, head))
}

/**
 * The reply of the middleware at `index` as the earlier middlewares of the chain edit it. Fields that a middleware may not write are
 * left out.
 */
export function editReply(chain: MiddlewareChain, index: number, x: Exchange, given: MiddlewareReply): MiddlewareReply {
  const { status, body } = given
  const reply = { status, fields: writableFields(given.fields), body }
  if (!chain.seesResponses) return reply
  const view = new ReplyView(reply)
  runOver(chain, index - 1, x, view)
  return { status, fields: view.added, body }
}

function writableFields(fields: FieldList): FieldList {
  const { pairs } = fields
  const kept: string[] = []
  for (let i = 0; i < pairs.length; i += 2) {
    if (mayWrite(pairs[i]!.toLowerCase(), pairs[i + 1]!)) kept.push(pairs[i]!, pairs[i + 1]!)
  }
  return kept.length === pairs.length ? fields : new FieldList(...kept)
}

/** A server's response head as middlewares see it. */
export function viewOf(x: Exchange, head: Head): ResponseView {
  return new HeadView(x, head)
}

function runOver(chain: MiddlewareChain, last: number, x: Exchange, view: ResponseView): void {
  for (let i = last; i >= 0; i--) chain.all[i]!.response?.(x, view)
}

/** Common part: `added` are fields that Skein adds. */
abstract class View implements ResponseView {
  readonly status: number

  constructor(status: number) {
    this.status = status
  }

  abstract added: FieldList
  abstract headers(name: string): readonly string[]

  header(name: string): string | undefined {
    return this.headers(name)[0]
  }

  setHeader(name: string, value: string): void {
    if (!mayWrite(name.toLowerCase(), value)) return
    this.removeHeader(name)
    this.addHeader(name, value)
  }

  addHeader(name: string, value: string): void {
    if (mayWrite(name.toLowerCase(), value)) this.added = this.added.with(name, value)
  }

  removeHeader(name: string): void {
    const lower = name.toLowerCase()
    if (isReserved(lower)) return
    const { pairs } = this.added
    const kept: string[] = []
    for (let i = 0; i < pairs.length; i += 2) if (pairs[i]!.toLowerCase() !== lower) kept.push(pairs[i]!, pairs[i + 1]!)
    if (kept.length < pairs.length) this.added = kept.length === 0 ? NO_FIELDS : new FieldList(...kept)
  }

  protected addedValues(name: string): string[] {
    const { pairs } = this.added
    const values: string[] = []
    for (let i = 0; i < pairs.length; i += 2) if (pairs[i]!.toLowerCase() === name) values.push(pairs[i + 1]!)
    return values
  }
}

class HeadView extends View {
  private readonly x: Exchange
  private readonly head: Head

  constructor(x: Exchange, head: Head) {
    super(head.status)
    this.x = x
    this.head = head
  }

  get added(): FieldList {
    return this.x.addedToResponse
  }

  set added(fields: FieldList) {
    this.x.addedToResponse = fields
  }

  headers(name: string): readonly string[] {
    const values: string[] = []
    const { head } = this
    for (let i = head.find(name); i >= 0; i = head.find(name, i + 1)) values.push(head.value(i))
    return [...values, ...this.addedValues(name)]
  }

  override removeHeader(name: string): void {
    const lower = name.toLowerCase()
    if (!isReserved(lower)) this.head.drop(lower)
    super.removeHeader(name)
  }
}

class ReplyView extends View {
  added: FieldList

  constructor(reply: MiddlewareReply) {
    super(reply.status)
    this.added = reply.fields
  }

  headers(name: string): readonly string[] {
    return this.addedValues(name)
  }
}
