// What an agent lets through: a list of GETs and, for each, the query it may carry and the shape of what may leave. Anything
// not on the list is refused; nothing is passed on as it came. Pure. Spec: design, section 5 (agent).

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
  /** `path`: what to ask Docker, built anew from what was understood. */
  { readonly ok: true; readonly subject: Subject; readonly path: string } | { readonly ok: false; readonly message: string }

/** Filters that discovery has a use for, by subject; no filter can reveal more than the list itself. */
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

const MOST_QUERY_BYTES = 8192

const filtersSchema = z.record(z.string(), z.array(z.string().max(256)).max(256))

/**
 * Judges a request line. `target` is as received; a method other than GET is refused, and so is every query that is not
 * understood.
 */
export function checkRequest(method: string, target: string): RequestVerdict {
  const refuse = (message: string): RequestVerdict => ({ ok: false, message })
  const [path = '', query = '', ...more] = target.split('?')
  const subject = path.replace(/^\/v1\.\d{1,3}(?=\/)/, '')
  if (method !== 'GET') return refuse(`this agent is read-only: ${method.slice(0, 16)} is not allowed`)
  if (!isSubject(subject)) return refuse('this agent does not serve that path')
  if (more.length > 0 || query.length > MOST_QUERY_BYTES) return refuse('the query is malformed or too long')
  const asked = new URLSearchParams(query)
  const wanted = new URLSearchParams()
  for (const [name, value] of asked) {
    if (name === 'filters' && FILTERS[subject].length > 0 && !wanted.has('filters')) {
      const problem = problemOfFilters(subject, value)
      if (problem !== null) return refuse(problem)
      wanted.set('filters', value)
    } else if (name === 'all' && subject === '/containers/json' && /^(1|0|true|false)$/.test(value)) wanted.set('all', value)
    else return refuse(`query parameter ${JSON.stringify(name.slice(0, 40))} is not allowed for ${subject}`)
  }
  // Events of other kinds never leave, whatever was asked for.
  if (subject === '/events') wanted.set('filters', EVENT_FILTERS)
  const text = wanted.toString()
  return { ok: true, subject, path: text === '' ? subject : `${subject}?${text}` }
}

function isSubject(path: string): path is Subject {
  return Object.hasOwn(FILTERS, path)
}

function problemOfFilters(subject: Subject, text: string): string | null {
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
 * The part of Docker's answer that may leave, or null when it is not what such an answer looks like. Malformed items are passed
 * on as their ID alone, so that the replica knows of them.
 */
export function filterResponse(subject: Subject, answer: unknown): unknown {
  switch (subject) {
    case '/_ping':
      return 'OK'
    case '/version':
      return one(versionSchema, answer)
    case '/info':
      return one(infoSchema, answer)
    case '/nodes':
      return many(nodeSchema, answer)
    case '/services':
      return many(serviceSchema, answer)
    case '/tasks':
      return many(taskSchema, answer)
    case '/networks':
      return many(networkSchema, answer)
    case '/containers/json':
      return many(containerSchema, answer)
    case '/events':
      return null
  }
}

function one(schema: z.ZodType, answer: unknown): unknown {
  const parsed = schema.safeParse(answer)
  return parsed.success ? parsed.data : null
}

function many(schema: z.ZodType, answer: unknown): unknown {
  const list = parseList(schema, answer)
  return list === null ? null : [...list.items, ...list.skipped.map(ID => ({ ID }))]
}
