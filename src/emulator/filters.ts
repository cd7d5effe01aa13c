// The `filters` parameter as the engine (20.10) reads it: a JSON object of lists, or of objects whose keys are the values (the old
// form). Unknown names are refused. Several values of one filter are alternatives, except labels, which must all match. Names
// match by prefix for the same kinds of objects as in the engine.

import type { Labels, NodeObject, ServiceObject, SwarmEvent, TaskObject } from './docker-objects.ts'
import { isTaskState } from './docker-objects.ts'
import type { Tables } from './store.ts'

export type Filters = ReadonlyMap<string, readonly string[]>

/** An error, with the status and message of the engine. */
export interface ApiError {
  readonly status: number
  readonly message: string
}

export function isApiError(value: unknown): value is ApiError {
  return typeof value === 'object' && value !== null && 'status' in value && 'message' in value
}

/** Parses the parameter; null or '' is no filter. With `accepted` null every name is accepted, as in /events. */
export function parseFilters(raw: string | null, accepted: readonly string[] | null): Filters | ApiError {
  if (raw === null || raw === '') return new Map()
  let parsed: unknown
  try {
    parsed = JSON.parse(raw)
  } catch {
    return { status: 400, message: `invalid character '${raw[0]}' looking for beginning of value` }
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return { status: 400, message: 'invalid filter' }
  const filters = new Map<string, readonly string[]>()
  for (const [name, value] of Object.entries(parsed)) {
    if (accepted !== null && !accepted.includes(name)) return { status: 400, message: `Invalid filter '${name}'` }
    if (Array.isArray(value)) filters.set(name, value.map(String))
    else if (typeof value === 'object' && value !== null) {
      filters.set(
        name,
        Object.entries(value)
          .filter(([, on]) => on === true)
          .map(([key]) => key),
      )
    } else return { status: 400, message: `invalid filter '${name}'` }
  }
  return filters
}

function any(filters: Filters, name: string, holds: (value: string) => boolean): boolean {
  const values = filters.get(name)
  return values === undefined || values.length === 0 || values.some(holds)
}

function labelsMatch(filters: Filters, name: string, labels: Labels | undefined): boolean {
  return (filters.get(name) ?? []).every(wanted => {
    const equals = wanted.indexOf('=')
    if (equals < 0) return labels?.[wanted] !== undefined
    return labels?.[wanted.slice(0, equals)] === wanted.slice(equals + 1)
  })
}

export function filterServices(tables: Tables, raw: string | null): readonly ServiceObject[] | ApiError {
  const filters = parseFilters(raw, ['name', 'id', 'label', 'mode', 'runtime'])
  if (isApiError(filters)) return filters
  return [...tables.services.values()].filter(
    service =>
      any(filters, 'name', name => service.Spec.Name.startsWith(name)) &&
      any(filters, 'id', id => service.ID.startsWith(id)) &&
      any(filters, 'mode', mode => mode === (service.Spec.Mode?.Global === undefined ? 'replicated' : 'global')) &&
      labelsMatch(filters, 'label', service.Spec.Labels),
  )
}

export function filterNodes(tables: Tables, raw: string | null): readonly NodeObject[] | ApiError {
  const filters = parseFilters(raw, ['name', 'id', 'label', 'node.label', 'role', 'membership'])
  if (isApiError(filters)) return filters
  const role = filters.get('role')?.find(value => value !== 'manager' && value !== 'worker')
  if (role !== undefined) return { status: 500, message: `Invalid role filter: '${role}'` }
  return [...tables.nodes.values()].filter(
    node =>
      any(filters, 'name', name => node.Description.Hostname.startsWith(name)) &&
      any(filters, 'id', id => node.ID.startsWith(id)) &&
      any(filters, 'role', value => value === node.Spec.Role) &&
      labelsMatch(filters, 'node.label', node.Spec.Labels),
  )
}

export function filterTasks(tables: Tables, raw: string | null): readonly TaskObject[] | ApiError {
  const filters = parseFilters(raw, ['desired-state', 'id', 'label', 'name', 'node', 'runtime', 'service', '_up-to-date'])
  if (isApiError(filters)) return filters
  const bad = filters.get('desired-state')?.find(value => !isTaskState(value))
  if (bad !== undefined) return { status: 500, message: `Invalid desired-state filter: '${bad}'` }
  const services = resolveAll(filters, 'service', reference => findService(tables, reference)?.ID)
  if (isApiError(services)) return services
  const nodes = resolveAll(filters, 'node', reference => findNode(tables, reference)?.ID)
  if (isApiError(nodes)) return nodes
  return [...tables.tasks.values()].filter(
    task =>
      any(filters, 'desired-state', state => task.DesiredState === state) &&
      any(filters, 'id', id => task.ID.startsWith(id)) &&
      any(filters, 'name', name => taskName(tables, task).startsWith(name)) &&
      (services === null || services.includes(task.ServiceID)) &&
      (nodes === null || nodes.includes(task.NodeID ?? '')) &&
      labelsMatch(filters, 'label', tables.services.get(task.ServiceID)?.Spec.Labels),
  )
}

function resolveAll(filters: Filters, name: string, find: (reference: string) => string | undefined) {
  const references = filters.get(name)
  if (references === undefined || references.length === 0) return null
  const found: string[] = []
  for (const reference of references) {
    const id = find(reference)
    if (id === undefined) return { status: 404, message: `${name} ${reference} not found` }
    found.push(id)
  }
  return found
}

export function eventMatches(filters: Filters, event: SwarmEvent): boolean {
  return (
    any(filters, 'type', type => type === event.Type) &&
    any(filters, 'scope', scope => scope === event.scope) &&
    any(filters, 'event', action => action === event.Action) &&
    ['service', 'node', 'network', 'container'].every(
      type =>
        !filters.has(type) ||
        (event.Type === type &&
          any(filters, type, reference => reference === event.Actor.ID || reference === event.Actor.Attributes.name)),
    ) &&
    !['image', 'volume', 'plugin'].some(type => filters.has(type))
  )
}

/** The task's name: `web.1.<task id>`, or `web.<node id>.<task id>` for a global service. */
export function taskName(tables: Tables, task: TaskObject): string {
  const service = tables.services.get(task.ServiceID)?.Spec.Name ?? task.ServiceID
  return `${service}.${task.Slot ?? task.NodeID}.${task.ID}`
}

/** Finds an object by full identifier, then by name, then by an unambiguous prefix of the identifier, as the engine does. */
export function findService(tables: Tables, reference: string): ServiceObject | undefined {
  return find([...tables.services.values()], reference, service => service.Spec.Name)
}

export function findNode(tables: Tables, reference: string): NodeObject | undefined {
  return find([...tables.nodes.values()], reference, node => node.Description.Hostname)
}

export function find<T extends { readonly ID: string }>(
  objects: readonly T[],
  reference: string,
  name: (object: T) => string,
): T | undefined {
  const exact = objects.find(object => object.ID === reference) ?? objects.find(object => name(object) === reference)
  if (exact !== undefined || reference === '') return exact
  const prefixed = objects.filter(object => object.ID.startsWith(reference))
  return prefixed.length === 1 ? prefixed[0] : undefined
}
