// Objects in the form of Docker's answers, with the relevant fields.

export const version = (Index: number) => ({ Index, CreatedBy: 'dropped by the schema' })

export function rawNode(ID: string, Hostname: string, more: object = {}): object {
  return {
    ID,
    Version: version(1),
    Spec: { Role: 'worker', Availability: 'active', Labels: { secret: 'label' } },
    Description: { Hostname, TLSInfo: { TrustRoot: 'pem' } },
    Status: { State: 'ready', Addr: '10.77.0.9' },
    ...more,
  }
}

export function rawManager(ID: string, Hostname: string, address: string): object {
  return rawNode(ID, Hostname, {
    Spec: { Role: 'manager', Availability: 'active' },
    ManagerStatus: { Reachability: 'reachable', Addr: `${address}:2377` },
  })
}

export function rawService(ID: string, Name: string, more: object = {}): object {
  return {
    ID,
    Version: version(1),
    Spec: { Name, Labels: { 'traefik.port': '80' }, TaskTemplate: { ContainerSpec: { Env: ['PASSWORD=hunter2'] } } },
    Endpoint: { Spec: {}, Ports: [{ TargetPort: 80, Protocol: 'tcp' }] },
    ...more,
  }
}

export function rawTask(ID: string, ServiceID: string, more: object = {}): object {
  return {
    ID,
    Version: version(1),
    ServiceID,
    NodeID: 'n1',
    DesiredState: 'running',
    Spec: { ContainerSpec: { Env: ['PASSWORD=hunter2'], Args: ['--token=hunter2'] } },
    Status: { State: 'running', ContainerStatus: { ContainerID: `c${ID}`, PID: 1 } },
    NetworksAttachments: [{ Network: { ID: 'net1', Spec: { Name: 'web' } }, Addresses: [`10.0.1.${ID.replace(/\D/g, '')}/24`] }],
    ...more,
  }
}
