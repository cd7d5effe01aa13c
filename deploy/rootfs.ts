// A root file system with only Node: the binary, its loaded libraries, user names and certificates, without a shell and a package
// manager. The image's build stage makes Skein's image from it, and the lab its base image.

import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The user of Skein in its image. */
export const SKEIN_UID = 65532

const PASSWD = `root:x:0:0:root:/root:/sbin/nologin\nskein:x:${SKEIN_UID}:${SKEIN_UID}:skein:/var/lib/skein:/sbin/nologin\n`
const GROUP = `root:x:0:\nskein:x:${SKEIN_UID}:\n`
/** Paths of the certificate bundle in distributions; the first is the path in the image. */
const CERTIFICATES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem']

/**
 * Paths of the shared objects that this process has loaded, including the dynamic loader. The report's format:
 * https://nodejs.org/api/report.html
 */
function sharedObjects(): string[] {
  const report: unknown = process.report.getReport()
  const listed = (report as { sharedObjects?: unknown }).sharedObjects
  return Array.isArray(listed) ? listed.filter((path): path is string => typeof path === 'string' && path.startsWith('/')) : []
}

function put(root: string, source: string, target: string): void {
  const path = join(root, target)
  mkdirSync(dirname(path), { recursive: true })
  copyFileSync(realpathSync(source), path)
}

/** Writes the file system below `root` (an empty or new directory). Must run as root, with the Node that the file system shall contain. */
export function writeRootfs(root: string): void {
  put(root, process.execPath, '/usr/local/bin/node')
  chmodSync(join(root, 'usr/local/bin/node'), 0o755)
  for (const library of sharedObjects()) put(root, library, library)
  const bundle = CERTIFICATES.find(existsSync)
  if (bundle !== undefined) put(root, bundle, CERTIFICATES[0] ?? bundle)
  mkdirSync(join(root, 'etc'), { recursive: true })
  writeFileSync(join(root, 'etc/passwd'), PASSWD)
  writeFileSync(join(root, 'etc/group'), GROUP)
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n')
  mkdirSync(join(root, 'tmp'))
  chmodSync(join(root, 'tmp'), 0o1777)
  const data = join(root, 'var/lib/skein')
  mkdirSync(data, { recursive: true })
  chownSync(data, SKEIN_UID, SKEIN_UID)
}
