// Bodies that a server sends after responses that have none by definition (RFC 9112, 6.3). Such bytes could be read as the response to
// the next request, so connections are not reused after such responses while the server is known for them. A client can provoke
// them by requests for a faulty path, so the knowledge expires.

/** Stray bodies, without a gap of EXPIRY_MS, after which the server is known for them. */
const THRESHOLD = 2
const EXPIRY_MS = 600_000

export class StrayBodies {
  private count = 0
  private lastMs = 0

  /** Records a stray body. */
  note(nowMs: number): void {
    this.count = nowMs - this.lastMs < EXPIRY_MS ? this.count + 1 : 1
    this.lastMs = nowMs
  }

  /** True if the server is known for stray bodies. */
  isExpected(nowMs: number): boolean {
    return this.count >= THRESHOLD && nowMs - this.lastMs < EXPIRY_MS
  }
}
