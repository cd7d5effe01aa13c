// Tells what was said before from what is new: every message of a member bears a number that only grows within its life. Messages
// may overtake each other on their way, so the last WINDOW numbers are remembered one by one (as IPsec does, RFC 4303 section
// 3.4.3); what is older than that is refused.

import type { MemberId } from './state.ts'

/** How far a message may be overtaken. */
const WINDOW = 1024

interface Sender {
  highest: number
  /** One bit for each of the last WINDOW numbers, at the place n mod WINDOW. */
  readonly bits: Uint32Array
}

export class ReplayWindow {
  readonly #senders = new Map<MemberId, Sender>()
  readonly #most: number

  /** @param most senders remembered; the one not heard for longest is forgotten */
  constructor(most: number) {
    this.#most = most
  }

  /** True for what is new, once; `n` is a whole number from 0. */
  accept(from: MemberId, n: number): boolean {
    let sender = this.#senders.get(from)
    if (sender === undefined) {
      sender = { highest: -1, bits: new Uint32Array(WINDOW / 32) }
      if (this.#senders.size >= this.#most) for (const oldest of this.#senders.keys()) if (this.#senders.delete(oldest)) break
    } else if (n <= sender.highest - WINDOW || (n <= sender.highest && isSet(sender.bits, n))) return false
    if (n > sender.highest) {
      if (n - sender.highest >= WINDOW) sender.bits.fill(0)
      else for (let skipped = sender.highest + 1; skipped < n; skipped++) set(sender.bits, skipped, false)
      sender.highest = n
    }
    set(sender.bits, n, true)
    this.#senders.delete(from)
    this.#senders.set(from, sender)
    return true
  }
}

function isSet(bits: Uint32Array, n: number): boolean {
  const place = n % WINDOW
  return ((bits[place >>> 5] ?? 0) & (1 << (place & 31))) !== 0
}

function set(bits: Uint32Array, n: number, value: boolean): void {
  const place = n % WINDOW
  const mask = 1 << (place & 31)
  const word = bits[place >>> 5] ?? 0
  bits[place >>> 5] = value ? word | mask : word & ~mask
}
