// Addresses to listen on, in the words that people are told: how host and port are written, and why one cannot be had. The same words for
// entry points, the admin API and the agent, so that what docs/troubleshooting.md says of them holds everywhere.

/** `127.0.0.1:80`, `[::]:80` (RFC 3986, 3.2.2). */
export function hostAndPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** What listen() reports, as an error with a message for people and the same code; `what` is to listen there, such as `admin API`. */
export function listenError(
  what: string,
  host: string,
  port: number,
  cause: { code?: string | undefined; message: string },
): Error {
  const { code, message } = cause
  const why = code === 'EADDRINUSE' ? 'the port is taken' : code === 'EACCES' ? 'the port needs more rights' : message
  return Object.assign(new Error(`${what}: cannot listen on ${hostAndPort(host, port)}: ${why}`), { code })
}
