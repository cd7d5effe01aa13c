// The image's health check: exit code 0 if the program in this container answers. Usage: node healthcheck.ts [http://HOST:PORT/PATH |
// tcp://HOST:PORT]. Without an argument it requests the replica's admin API; for the agent, which has none, it opens a TCP connection.

import { get } from 'node:http'
import { connect } from 'node:net'

const TIMEOUT_MS = 2500
const target = new URL(process.argv[2] ?? 'http://127.0.0.1:9000/api/health')

function verdict(problem: string | null): never {
  if (problem !== null) console.error(`${target.href}: ${problem}`)
  process.exit(problem === null ? 0 : 1)
}

setTimeout(() => verdict(`no answer within ${TIMEOUT_MS} ms`), TIMEOUT_MS)
if (target.protocol === 'tcp:') {
  connect(Number(target.port), target.hostname, () => verdict(null)).on('error', error => verdict(error.message))
} else {
  get(target, answer => verdict(answer.statusCode === 200 ? null : `status ${answer.statusCode}`)).on('error', error =>
    verdict(error.message),
  )
}
