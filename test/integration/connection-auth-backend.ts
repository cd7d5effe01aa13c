// A backend that authenticates connections as IIS does with NTLM (MS-NTHT) and Negotiate (RFC 4559): type 1, challenge, type 3.
// After that, every request on the connection is made in the name of its user.

import { Backend, type BackendRequest } from './harness.ts'
import { fieldOf, type RawConnection } from './raw-connection.ts'

export const TYPE_1 = 'TlRMTVNTUAABAAAA'
export const TYPE_2 = 'TlRMTVNTUAACAAAA'
export const TYPE_3 = 'TlRMTVNTUAADAAAA'

export const authorization = (token: string, scheme = 'NTLM'): string => `Authorization: ${scheme} ${token}\r\n`

export interface AuthState {
  /** Type 1 was received, type 3 was not. */
  challenged: boolean
  user: string
}

/** Responds with the user of the connection, else with 401; `fields` are further lines of the 401. */
export function authenticate(request: BackendRequest, state: AuthState, fields = ''): string {
  const [scheme = '', token = ''] = (fieldOf(request.head, 'authorization') ?? '').split(' ')
  const offer = fields === '' ? 'WWW-Authenticate: NTLM\r\n' : fields
  if (token.startsWith(TYPE_1)) {
    state.challenged = true
    state.user = ''
    return `HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: ${scheme} ${TYPE_2}\r\nContent-Length: 0\r\n\r\n`
  }
  if (token.startsWith(TYPE_3)) {
    if (!state.challenged) return `HTTP/1.1 401 Unauthorized\r\n${offer}Content-Length: 11\r\n\r\nout of turn`
    state.challenged = false
    state.user = token.slice(TYPE_3.length)
  }
  if (state.user === '') return `HTTP/1.1 401 Unauthorized\r\n${offer}Content-Length: 0\r\n\r\n`
  return `HTTP/1.1 200 OK\r\nContent-Length: ${state.user.length}\r\n\r\n${state.user}`
}

export interface AuthBackend extends Backend {
  /** Open connections with a logged-in user. */
  readonly states: Map<RawConnection, AuthState>
}

/** `fields`: what a 401 offers; NTLM by default. */
export async function authBackend(fields = ''): Promise<AuthBackend> {
  const states = new Map<RawConnection, AuthState>()
  const backend = await Backend.start((request, connection) => {
    let state = states.get(connection)
    if (state === undefined) states.set(connection, (state = { challenged: false, user: '' }))
    connection.write(authenticate(request, state, fields))
  })
  return Object.assign(backend, { states })
}

/** A request of a handshake, or one without credentials if `token` is ''. */
export function ask(token = '', scheme = 'NTLM', host = 'app.test'): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\n${token === '' ? '' : authorization(token, scheme)}\r\n`
}

/** Sends the three requests of a handshake. @returns the body of the last response */
export async function logIn(client: RawConnection, user: string, scheme = 'NTLM', host = 'app.test'): Promise<string> {
  for (const token of ['', TYPE_1]) {
    client.write(ask(token, scheme, host))
    await client.takeMessage()
  }
  client.write(ask(TYPE_3 + user, scheme, host))
  const { startLine, body } = await client.takeMessage()
  return `${startLine.slice(9, 12)} ${body}`
}
