// The swarm objects of the Docker Engine API, version 1.41 (https://docs.docker.com/engine/api/v1.41/), reduced to the fields that a
// reader of services, tasks, nodes and networks uses. Objects are immutable: a new version replaces the old one.

export interface SwarmObject {
  readonly ID: string
  readonly Version: { readonly Index: number }
  readonly CreatedAt: string
  readonly UpdatedAt: string
}

export type Labels = Readonly<Record<string, string>>

export interface NodeObject extends SwarmObject {
  readonly Spec: {
    readonly Name?: string
    readonly Labels: Labels
    readonly Role: 'manager' | 'worker'
    readonly Availability: 'active' | 'pause' | 'drain'
  }
  readonly Description: {
    readonly Hostname: string
    readonly Platform: { readonly Architecture: string; readonly OS: string }
    readonly Resources: { readonly NanoCPUs: number; readonly MemoryBytes: number }
    readonly Engine: { readonly EngineVersion: string }
  }
  readonly Status: { readonly State: 'ready' | 'down' | 'unknown'; readonly Message?: string; readonly Addr: string }
  readonly ManagerStatus?: {
    readonly Leader?: true
    readonly Reachability: 'reachable' | 'unreachable' | 'unknown'
    readonly Addr: string
  }
}

export interface PortConfig {
  readonly Protocol: 'tcp' | 'udp'
  readonly TargetPort: number
  readonly PublishedPort?: number
  readonly PublishMode?: 'ingress' | 'host'
}

export interface TaskSpec {
  readonly ContainerSpec?: {
    readonly Image?: string
    readonly Command?: readonly string[]
    readonly Args?: readonly string[]
    readonly Env?: readonly string[]
    readonly Labels?: Labels
    /** Time between SIGTERM and SIGKILL, in nanoseconds. */
    readonly StopGracePeriod?: number
  }
  readonly Placement?: { readonly Constraints?: readonly string[] }
  readonly Networks?: readonly { readonly Target: string; readonly Aliases?: readonly string[] }[]
  readonly ForceUpdate?: number
  readonly Runtime?: string
  readonly RestartPolicy?: { readonly Condition?: 'none' | 'on-failure' | 'any'; readonly Delay?: number }
}

export interface UpdateConfig {
  /** 0: all at once. */
  readonly Parallelism?: number
  /** Nanoseconds. */
  readonly Delay?: number
  readonly FailureAction?: string
  /** Nanoseconds. */
  readonly Monitor?: number
  readonly MaxFailureRatio?: number
  readonly Order?: 'stop-first' | 'start-first'
}

export interface ServiceSpec {
  readonly Name: string
  readonly Labels?: Labels
  readonly TaskTemplate: TaskSpec
  readonly Mode?: { readonly Replicated?: { readonly Replicas?: number }; readonly Global?: Readonly<Record<string, never>> }
  readonly UpdateConfig?: UpdateConfig
  readonly RollbackConfig?: UpdateConfig
  /** Deprecated place of the networks, which the engine still reads. */
  readonly Networks?: readonly { readonly Target: string }[]
  readonly EndpointSpec?: { readonly Mode?: 'vip' | 'dnsrr'; readonly Ports?: readonly PortConfig[] }
}

export interface UpdateStatus {
  readonly State: 'updating' | 'paused' | 'completed'
  readonly StartedAt: string
  readonly CompletedAt?: string
  readonly Message: string
}

export interface ServiceObject extends SwarmObject {
  readonly Spec: ServiceSpec
  readonly PreviousSpec?: ServiceSpec
  readonly Endpoint: {
    readonly Spec: { readonly Mode?: 'vip' | 'dnsrr'; readonly Ports?: readonly PortConfig[] }
    readonly Ports?: readonly PortConfig[]
    readonly VirtualIPs?: readonly { readonly NetworkID: string; readonly Addr: string }[]
  }
  readonly UpdateStatus?: UpdateStatus
}

export type TaskState =
  | 'new'
  | 'pending'
  | 'assigned'
  | 'accepted'
  | 'preparing'
  | 'ready'
  | 'starting'
  | 'running'
  | 'complete'
  | 'shutdown'
  | 'failed'
  | 'rejected'
  | 'remove'
  | 'orphaned'

export interface TaskStatus {
  readonly Timestamp: string
  readonly State: TaskState
  readonly Message: string
  readonly Err?: string
  readonly ContainerStatus?: { readonly ContainerID: string; readonly PID: number; readonly ExitCode: number }
  readonly PortStatus: { readonly Ports?: readonly PortConfig[] }
}

export interface NetworkAttachment {
  readonly Network: SwarmNetwork
  readonly Addresses: readonly string[]
}

export interface TaskObject extends SwarmObject {
  readonly Labels: Labels
  readonly Spec: TaskSpec
  readonly ServiceID: string
  /** Absent for global services. */
  readonly Slot?: number
  readonly NodeID?: string
  readonly Status: TaskStatus
  readonly DesiredState: TaskState
  readonly NetworksAttachments?: readonly NetworkAttachment[]
}

/** A network as the swarm stores it and as tasks contain it; `/networks` returns it in another form. */
export interface SwarmNetwork extends SwarmObject {
  readonly Spec: {
    readonly Name: string
    readonly Labels: Labels
    readonly DriverConfiguration: { readonly Name: string }
    readonly Ingress?: boolean
    readonly Attachable?: boolean
    readonly Scope: 'swarm'
  }
  readonly DriverState: { readonly Name: string; readonly Options: Readonly<Record<string, string>> }
  readonly IPAMOptions: {
    readonly Driver: { readonly Name: string }
    readonly Configs: readonly { readonly Subnet: string; readonly Gateway: string }[]
  }
}

export interface SwarmEvent {
  readonly Type: 'service' | 'node' | 'network' | 'container'
  readonly Action: string
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> }
  /** `swarm` events are delivered by every manager, `local` events by their own node only. */
  readonly scope: 'swarm' | 'local'
  /** Seconds. */
  readonly time: number
  readonly timeNano: number
}

const order: readonly TaskState[] = [
  'new',
  'pending',
  'assigned',
  'accepted',
  'preparing',
  'ready',
  'starting',
  'running',
  'complete',
  'shutdown',
  'failed',
  'rejected',
  'remove',
  'orphaned',
]

/** Whether the task's process has ended, or will never start. */
export function hasEnded(state: TaskState): boolean {
  return order.indexOf(state) > order.indexOf('running')
}

export function isTaskState(value: string): value is TaskState {
  return order.some(state => state === value)
}

export function networkTargets(spec: ServiceSpec): readonly string[] {
  return (spec.TaskTemplate.Networks ?? spec.Networks ?? []).map(network => network.Target)
}
