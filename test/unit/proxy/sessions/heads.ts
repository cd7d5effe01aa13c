// Request and response heads from their field lines, for the tests of sessions. Not a test itself.

import { parseRequestHead, parseResponseHead } from '../../../../src/proxy/http1/parse-head.ts'
import { Head } from '../../../../src/proxy/message/head.ts'

const LIMITS = { headerBytes: 1 << 20, headerCount: 1000, uriBytes: 65_536 }

export function requestHead(lines: readonly string[], target = '/'): Head {
  return readRequest(new Head(), lines, target)
}

/** Reads into an existing head. */
export function readRequest(head: Head, lines: readonly string[], target = '/'): Head {
  const text = `GET ${target} HTTP/1.1\r\nHost: app.test\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
  if (parseRequestHead(head, text, LIMITS) !== 0) throw new Error(head.problem)
  return head
}

export function answerHead(lines: readonly string[]): Head {
  const head = new Head()
  const text = `HTTP/1.1 200 OK\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
  if (parseResponseHead(head, text, LIMITS) !== 0) throw new Error(head.problem)
  return head
}
