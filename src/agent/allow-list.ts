// The requests that an agent allows: a list of GETs, each with its query parameters and the schema of its response. Everything else
// is refused, and responses contain only the fields of the schema. Pure.

import { z } from 'zod'
import {
  containerSchema,
  EVENT_FILTERS,
  infoSchema,
  networkSchema,
  nodeSchema,
  parseList,
  serviceSchema,
  taskSchema,
  versionSchema,
} from '../providers/docker-api/schemas.ts'

export type Subject =
  | '/_ping'
  | '/version'
  | '/info'
  | '/nodes'
  | '/services'
  | '/tasks'
  | '/networks'
  | '/events'
  | '/containers/json'

export type RequestVerdict =
  /** `path`: the request for Docker, built from the parsed query. */
  { readonly ok: true; readonly subject: Subject; readonly path: string } | { readonly ok: false; readonly message: string }

/** Filters that discovery uses, by subject; a filter never shows more than the list without it. */
const FILTERS: Readonly<Record<Subject, readonly string[]>> = {
  '/_ping': [],
  '/version': [],
  '/info': [],
  '/nodes': ['id', 'name', 'role', 'membership'],
  '/services': ['id', 'name', 'label', 'mode'],
  '/tasks': ['id', 'name', 'service', 'node', 'desired-state', 'label'],
  '/networks': ['id', 'name', 'scope', 'driver', 'type', 'label'],
  '/events': ['type', 'scope'],
  '/containers/json': ['id', 'name', 'label', 'status', 'network'],
}

const MAX_QUERY_BYTES = 8192

const filtersSchema = z.record(z.string(), z.array(z.string().max(256)).max(256))

/** Checks a request line; `target` is as received. Refuses other methods than GET, and queries that are not on the list. */
export function checkRequest(method: string, target: string): RequestVerdict {
  const refuse = (message: string): RequestVerdict => ({ ok: false, message })
  const [path = '', query = '', ...more] = target.split('?')
  const subject = path.replace(/^\/v1\.\d{1,3}(?=\/)/, '')
  if (method !== 'GET') return refuse(`this agent is read-only: ${method.slice(0, 16)} is not allowed`)
  if (!isSubject(subject)) return refuse('this agent does not serve that path')
  if (more.length > 0 || query.length > MAX_QUERY_BYTES) return refuse('the query is malformed or too long')
  const requested = new URLSearchParams(query)
  const allowed = new URLSearchParams()
  for (const [name, value] of requested) {
    if (name === 'filters' && FILTERS[subject].length > 0 && !allowed.has('filters')) {
      const problem = checkFilters(subject, value)
      if (problem !== null) return refuse(problem)
      allowed.set('filters', value)
    } else if (name === 'all' && subject === '/containers/json' && /^(1|0|true|false)$/.test(value)) allowed.set('all', value)
    else return refuse(`query parameter ${JSON.stringify(name.slice(0, 40))} is not allowed for ${subject}`)
  }
  // Only these events are sent, whatever was requested.
  if (subject === '/events') allowed.set('filters', EVENT_FILTERS)
  const text = allowed.toString()
  return { ok: true, subject, path: text === '' ? subject : `${subject}?${text}` }
}

function isSubject(path: string): path is Subject {
  return Object.hasOwn(FILTERS, path)
}

/** @returns why the filters are refused; null if they are allowed */
function checkFilters(subject: Subject, text: string): string | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'filters: expected JSON'
  }
  const parsed = filtersSchema.safeParse(value)
  if (!parsed.success) return 'filters: expected an object of lists of strings'
  const unknown = Object.keys(parsed.data).find(name => !FILTERS[subject].includes(name))
  return unknown === undefined ? null : `filter ${JSON.stringify(unknown.slice(0, 40))} is not allowed for ${subject}`
}

/**
 * The allowed part of Docker's response; null if the response is malformed. Malformed items of a list are reduced to their ID, so
 * that the replica can report them.
 */
export function filterResponse(subject: Subject, answer: unknown): unknown {
  switch (subject) {
    case '/_ping':
      return 'OK'
    case '/version':
      return parseOne(versionSchema, answer)
    case '/info':
      return parseOne(infoSchema, answer)
    case '/nodes':
      return parseMany(nodeSchema, answer)
    case '/services':
      return parseMany(serviceSchema, answer)
    case '/tasks':
      return parseMany(taskSchema, answer)
    case '/networks':
      return parseMany(networkSchema, answer)
    case '/containers/json':
      return parseMany(containerSchema, answer)
    case '/events':
      return null
  }
}

function parseOne(schema: z.ZodType, answer: unknown): unknown {
  const parsed = schema.safeParse(answer)
  return parsed.success ? parsed.data : null
}

function parseMany(schema: z.ZodType, answer: unknown): unknown {
  const list = parseList(schema, answer)
  return list === null ? null : [...list.items, ...list.skipped.map(ID => ({ ID }))]
}
