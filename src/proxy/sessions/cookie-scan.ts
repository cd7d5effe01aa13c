// Finds the cookies of one name in a request's Cookie fields: in place, in linear time, without allocation. A pair must begin the
// field or follow a semicolon, and `=` must follow the name directly. Names are case-sensitive (RFC 6265, 4.2.1).

import { COOKIE, DROPPED, ID, STRIDE, VALUE_END, VALUE_START } from '../message/fields.ts'
import type { Head } from '../message/head.ts'

/** Cookies of one name examined per request. Browsers send one, rarely two (different paths); an attacker may send thousands. */
export const MAX_COOKIES = 8

const TAB = 9
const SPACE = 32
const SEMICOLON = 59

export class CookieScan {
  /** Position of the value in the head's text, without trailing white space. */
  from = 0
  to = 0
  #head: Head | null = null
  #needle = ''
  #field = 0
  #start = 0
  #end = 0
  #at = 0
  #left = 0

  /** `needle` is the name with its `=`. */
  begin(head: Head, needle: string): void {
    this.#head = head
    this.#needle = needle
    this.#field = head.cookieField - 1
    this.#end = 0
    this.#left = head.cookieField < 0 || needle.length < 2 ? 0 : MAX_COOKIES
    if (this.#left > 0 && !this.#nextField()) this.#left = 0
    this.#at = this.#start
  }

  /** Moves to the next cookie of the name; false if there is none. */
  next(): boolean {
    const text = this.#head === null ? '' : this.#head.text
    while (this.#left > 0) {
      const found = text.indexOf(this.#needle, this.#at)
      if (found < 0) break
      while (found >= this.#end) if (!this.#nextField()) return this.#over()
      if (found < this.#start) {
        this.#at = this.#start
        continue
      }
      this.#at = found + this.#needle.length
      if (!this.#startsPair(text, found)) continue
      this.#left--
      const semicolon = text.indexOf(';', this.#at)
      let to = semicolon < 0 || semicolon > this.#end ? this.#end : semicolon
      while (to > this.#at && isBlank(text.charCodeAt(to - 1))) to--
      this.from = this.#at
      this.to = to
      return true
    }
    return this.#over()
  }

  #over(): false {
    this.#left = 0
    return false
  }

  #nextField(): boolean {
    const head = this.#head!
    for (this.#field++; this.#field < head.count; this.#field++) {
      const o = this.#field * STRIDE
      if (head.at[o + ID] !== COOKIE || head.at[o + DROPPED] !== 0) continue
      this.#start = head.at[o + VALUE_START]!
      this.#end = head.at[o + VALUE_END]!
      return true
    }
    return false
  }

  /** True if only white space precedes `at` up to the start of the field or a semicolon. */
  #startsPair(text: string, at: number): boolean {
    let before = at - 1
    while (before >= this.#start && isBlank(text.charCodeAt(before))) before--
    return before < this.#start || text.charCodeAt(before) === SEMICOLON
  }
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}
