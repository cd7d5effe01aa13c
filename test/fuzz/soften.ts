// Rewrites responses of old servers for a strict parser: the second half of the oracle for responses. Written independently from the
// RFCs and the behaviour of nginx and HAProxy; shares no code with src/. Rewrites a head once its empty line has arrived, and the
// lines of chunk sizes; content and valid bytes are unchanged. Faults that no rule here covers are unchanged too, and the strict
// parser refuses them.

/** Length of a response head, with bare LFs as line ends; -1 if its empty line has not arrived. */
export function headLength(text: string): number {
  const end = /\n\r?\n/.exec(text)
  return end === null ? -1 : end.index + end[0].length
}

const CONTROL = /[\x01-\x08\x0a-\x1f\x7f]/g

/** Rewrites a complete head with its empty line. */
export function softenHead(head: string): string {
  if (/\r(?!\n)|\0/.test(head)) return head
  const unfolded = head
    .replaceAll(/\r?\n/g, '\r\n')
    // Directly after the status line it is not a fold.
    .replaceAll(/(?<=\r\n[^\r\n]+)[ \t]*\r\n[ \t]+(?=\r\n)/g, '')
    .replaceAll(/(?<=\r\n[^\r\n]+)[ \t]*\r\n[ \t]+(?=[^ \t\r\n])/g, ' ')
  const [start = '', ...fields] = unfolded.slice(0, -4).split('\r\n')
  let first = -1
  const out: string[] = []
  for (const line of fields) {
    const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*?)[ \t]*$/.exec(line)
    if (field === null) {
      out.push(line)
      continue
    }
    const name = field[1]!
    const lower = name.toLowerCase()
    let value = field[2]!
    // Connection reuse is not compared here.
    if (lower === 'connection' || lower === 'keep-alive') continue
    if (lower === 'content-length') {
      const items = value.split(/[ \t]*,[ \t]*/)
      const number = Number(items[0])
      const sound = items.every(item => /^\d{1,15}$/.test(item) && Number(item) === number)
      if (sound && first >= 0 && Number(/\d*$/.exec(out[first]!)![0]) === number) {
        out[first] = out[first]!.replace(/\d*$/, String(number))
        continue
      }
      if (sound && items.length > 1) value = String(number)
      if (first < 0) first = out.length
    } else if (lower !== 'transfer-encoding') {
      value = value.replaceAll(CONTROL, '').replaceAll(/^[ \t]+|[ \t]+$/g, '')
    }
    out.push(`${name}: ${value}`)
  }
  return `${softenStart(start)}\r\n${out.map(line => `${line}\r\n`).join('')}\r\n`
}

function softenStart(line: string): string {
  const parts = /^HTTP\/1\.(\d)[ \t]+(\d{3})(?:([ \t])(.*))?$/s.exec(line)
  if (parts === null) return line
  const [, minor, status, gap, reason = ''] = parts
  const plain = reason.replaceAll(CONTROL, '')
  const trimmed = plain === reason ? reason : plain.replaceAll(/^[ \t]+|[ \t]+$/g, '')
  // llhttp closes after an interim response of HTTP/1.0; a client receives it as HTTP/1.1.
  const old = minor === '0' && !/^1(?!01)/.test(status!)
  return `HTTP/1.${old ? 0 : 1} ${status}${gap === undefined ? '' : ' '}${trimmed}`
}

/** Rewrites a line of a chunk size with its CRLF: removes white space after the size, and extensions. */
export function softenSize(line: string): string {
  const parts = /^0*([0-9a-f]+)[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/i.exec(line)
  return parts === null ? line : `${parts[1]}\r\n`
}

/** The framing of a response, as far as the rewriting depends on it: chunks follow. */
export function announcesChunks(head: string, toHead: boolean): boolean {
  const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1] ?? 0)
  return !toHead && status >= 200 && status !== 204 && status !== 304 && /\r\ntransfer-encoding: *chunked *\r\n/i.test(head)
}

/** Rewrites trailer lines with the empty line as softenHead does, without fields that trailers must not contain. */
export function softenTrailers(text: string): string {
  const start = 'HTTP/1.1 200 OK\r\n'
  const lines = softenHead(start + text).slice(start.length)
  const late =
    /^(?:host|content-length|transfer-encoding|connection|expect|upgrade|te|keep-alive|http2-settings|forwarded|cookie|skein-relay|proxy-(?:connection|authenticate|authorization|support)|persistent-auth|authorization|www-authenticate|x[-_]forwarded[-_].*|x[-_]real[-_]ip)$/i
  return lines
    .split('\r\n')
    .filter(line => !late.test(line.slice(0, line.indexOf(':'))))
    .join('\r\n')
}
