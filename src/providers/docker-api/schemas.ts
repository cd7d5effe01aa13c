// The part of the Docker Engine API that Skein uses. Every schema drops the fields that it does not name. The same schemas
// validate the answers of managers and define what the agent may send, so secrets, environment, arguments and mounts never
// pass. Specification: Docker Engine API v1.41, /nodes /services /tasks /networks /info /version /events /containers/json.

import { z } from 'zod'

const text = z.string().max(4096)
/** Docker allows 63 characters. Longer names must stay far below the limits of a snapshot (config/schema.ts). */
const name = z.string().max(1024)
const id = z.string().min(1).max(128)
const version = z.object({ Index: z.number().int().nonnegative() })
/** Go writes an empty list as null or leaves it out. */
const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform(items => items ?? [])
const optionalText = text.nullish().transform(value => value ?? '')
const optionalName = name.nullish().transform(value => value ?? '')
const labels = z
  .record(z.string(), z.string())
  .nullish()
  .transform(value => value ?? {})

export const nodeSchema = z.object({
  ID: id,
  Version: version,
  Spec: z.object({ Role: optionalText, Availability: optionalText }),
  Description: z.object({ Hostname: optionalName }),
  Status: z.object({ State: optionalText, Addr: optionalText }),
  ManagerStatus: z.object({ Leader: z.boolean().optional(), Reachability: optionalText, Addr: optionalText }).nullish(),
})
export type DockerNode = z.infer<typeof nodeSchema>

const portSchema = z.object({ TargetPort: z.number().int().min(0).max(65535).optional(), Protocol: optionalText })

export const serviceSchema = z.object({
  ID: id,
  Version: version,
  Spec: z.object({
    Name: name.min(1),
    Labels: labels,
    Mode: z.object({ Replicated: z.object({ Replicas: z.number().nullish() }).nullish() }).nullish(),
    EndpointSpec: z.object({ Mode: optionalText, Ports: list(portSchema) }).nullish(),
  }),
  Endpoint: z
    .object({ Ports: list(portSchema), VirtualIPs: list(z.object({ NetworkID: optionalText, Addr: optionalText })) })
    .nullish(),
  UpdateStatus: z.object({ State: optionalText }).nullish(),
})
export type DockerService = z.infer<typeof serviceSchema>

export const taskSchema = z.object({
  ID: id,
  Version: version,
  ServiceID: optionalText,
  NodeID: optionalText,
  DesiredState: text,
  Status: z.object({
    State: text,
    ContainerStatus: z.object({ ContainerID: optionalText }).nullish(),
  }),
  NetworksAttachments: list(
    z.object({
      Network: z.object({
        ID: optionalText,
        Spec: z.object({ Name: optionalName, Ingress: z.boolean().nullish() }),
      }),
      Addresses: list(text),
    }),
  ),
})
export type DockerTask = z.infer<typeof taskSchema>

export const networkSchema = z.object({
  Id: id,
  Name: name,
  Scope: optionalText,
  Driver: optionalText,
  Ingress: z.boolean().nullish(),
})
export type DockerNetwork = z.infer<typeof networkSchema>

export const infoSchema = z.object({
  Name: optionalName,
  ServerVersion: optionalText,
  Swarm: z.object({
    NodeID: optionalText,
    NodeAddr: optionalText,
    LocalNodeState: optionalText,
    ControlAvailable: z.boolean().nullish(),
    Cluster: z.object({ ID: optionalText }).nullish(),
  }),
})
export type DockerInfo = z.infer<typeof infoSchema>

export const versionSchema = z.object({
  Version: optionalText,
  ApiVersion: optionalText,
  MinAPIVersion: optionalText,
  Os: optionalText,
  Arch: optionalText,
})

const EVENT_ATTRIBUTES: ReadonlySet<string> = new Set([
  'name',
  'updatestate.old',
  'updatestate.new',
  'state.old',
  'state.new',
  'availability.old',
  'availability.new',
  'role.old',
  'role.new',
  'reachability.old',
  'reachability.new',
])

const eventSchema = z.object({
  Type: z.enum(['service', 'node', 'network']),
  Action: text,
  Actor: z.object({
    ID: optionalText,
    Attributes: labels.transform(all => Object.fromEntries(Object.entries(all).filter(([key]) => EVENT_ATTRIBUTES.has(key)))),
  }),
  scope: z.literal('swarm'),
  time: z.number().optional(),
  timeNano: z.number().optional(),
})
export type DockerEvent = z.infer<typeof eventSchema>

/** The `filters` of /events: the types that reach every manager. Containers, secrets and configs are not included. */
export const EVENT_FILTERS = JSON.stringify({ type: ['service', 'node', 'network'], scope: ['swarm'] })

/** Parses one line of /events; null when it is not an event of EVENT_FILTERS. */
export function parseEvent(line: string): DockerEvent | null {
  try {
    return eventSchema.safeParse(JSON.parse(line)).data ?? null
  } catch {
    return null
  }
}

export const containerSchema = z.object({
  Id: id,
  Names: list(text),
  Labels: labels,
  State: optionalText,
  Status: optionalText,
  Ports: list(
    z.object({ PrivatePort: z.number().int().optional(), PublicPort: z.number().int().optional(), Type: optionalText }),
  ),
  NetworkSettings: z
    .object({
      Networks: z
        .record(z.string(), z.object({ NetworkID: optionalText, IPAddress: optionalText, GlobalIPv6Address: optionalText }))
        .nullish(),
    })
    .nullish(),
})

/** The well-formed items of a list, and what is wrong with the others (at most ten messages of at most 200 characters). */
export interface ListResult<T> {
  readonly items: readonly T[]
  /** IDs of malformed items, where they have one: their earlier state stays valid. */
  readonly skipped: readonly string[]
  readonly problems: readonly string[]
}

/**
 * Validates each item by itself, so that one malformed service does not hide the others. null when the value is not a list, or
 * no item is recognisable: that is not an answer of Docker and must not be taken for an empty list.
 */
export function parseList<T>(schema: z.ZodType<T>, value: unknown): ListResult<T> | null {
  if (!Array.isArray(value)) return null
  const items: T[] = []
  const problems: string[] = []
  const skipped: string[] = []
  for (const raw of value) {
    const parsed = schema.safeParse(raw)
    if (parsed.success) {
      items.push(parsed.data)
      continue
    }
    const id = idOf(raw)
    if (id !== null) skipped.push(id)
    if (problems.length < 10) problems.push(`${id ?? 'an object without an ID'}: ${firstIssue(parsed.error)}`)
  }
  return items.length === 0 && skipped.length === 0 && value.length > 0 ? null : { items, skipped, problems }
}

/** The first issue of a failed validation, on one line. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0]
  if (issue === undefined) return 'malformed'
  return `${issue.path.join('.') || 'value'}: ${issue.message}`.slice(0, 200)
}

function idOf(raw: unknown): string | null {
  if (typeof raw !== 'object' || raw === null) return null
  const found = 'ID' in raw ? raw.ID : 'Id' in raw ? raw.Id : undefined
  return typeof found === 'string' && found.length <= 128 ? found : null
}
