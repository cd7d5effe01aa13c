// `skein health`: exit code 0 if the replica serves, 1 if it does not or cannot be reached. For health checks of containers: it reads
// the same --admin (SKEIN_ADMIN, --config) as the replica in the same container. With --json it prints the replica's health and
// managers, because the image has no curl.

import { printable } from '../util/printable.ts'
import { fetchAdmin } from './fetch-admin.ts'
import { loadCommand, optionsEnvironment, reportErrors } from './start.ts'

export async function health(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('health', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  const admin = loaded.values.admin
  if (admin === null) return reportErrors('health', ['--admin is off, expected the address of the admin API'], 2)
  try {
    const { status, body } = await fetchAdmin(admin, '/api/health', 3000)
    const state = typeof body === 'object' && body !== null && 'status' in body ? String(body.status) : null
    if (state === null) return reportErrors('health', [`the answer (status ${status}) is not Skein's: is it the admin API?`], 1)
    if (loaded.values.json) {
      const managers = await fetchAdmin(admin, '/api/managers', 3000)
      process.stdout.write(`${JSON.stringify({ health: body, providers: managers.body }, null, 2)}\n`)
    } else process.stdout.write(`${printable(state)}\n`)
    return status === 200 ? 0 : 1
  } catch (error) {
    return reportErrors('health', [(error as Error).message], 1)
  }
}
