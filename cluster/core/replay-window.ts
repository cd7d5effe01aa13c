// Replay protection. Every message of a member has a sequence number that only grows while the process lives. Messages may be
// reordered, so the last WINDOW numbers are tracked one by one, as in IPsec (RFC 4303, section 3.4.3); older numbers are
// rejected. Pure.

import type { MemberId } from './state.ts'

/** A message is rejected when a number that is larger by this much or more has arrived. */
const WINDOW = 1024

interface Sender {
  highest: number
  /** One bit per number of the last WINDOW, at position n mod WINDOW. */
  readonly bits: Uint32Array
}

export class ReplayWindow {
  readonly #senders = new Map<MemberId, Sender>()
  readonly #maxSenders: number

  /** @param maxSenders senders tracked; the one that sent nothing for longest is evicted */
  constructor(maxSenders: number) {
    this.#maxSenders = maxSenders
  }

  /** True the first time a number is seen within the window. `n`: an integer from 0. */
  accept(from: MemberId, n: number): boolean {
    let sender = this.#senders.get(from)
    if (sender === undefined) {
      sender = { highest: -1, bits: new Uint32Array(WINDOW / 32) }
      if (this.#senders.size >= this.#maxSenders)
        for (const oldest of this.#senders.keys()) if (this.#senders.delete(oldest)) break
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
  const bit = n % WINDOW
  return ((bits[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0
}

function set(bits: Uint32Array, n: number, value: boolean): void {
  const bit = n % WINDOW
  const mask = 1 << (bit & 31)
  const word = bits[bit >>> 5] ?? 0
  bits[bit >>> 5] = value ? word | mask : word & ~mask
}
