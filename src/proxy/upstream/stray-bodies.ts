// Bodies that a server sends behind heads that have none by definition (RFC 9112, 6.3). One that looks like an answer would be
// given to the next request, so connections are not reused after such heads while the server is known for it. A client can
// provoke strays by requests for one faulty path: that counts for a time only.

/** So many of them, without a pause of FORGOTTEN_MS, make a server known for it. */
const MOST = 2
const FORGOTTEN_MS = 600_000

export class StrayBodies {
  private count = 0
  private lastMs = 0

  /** One was seen. */
  note(nowMs: number): void {
    this.count = nowMs - this.lastMs < FORGOTTEN_MS ? this.count + 1 : 1
    this.lastMs = nowMs
  }

  /** The server is known for them. */
  isExpected(nowMs: number): boolean {
    return this.count >= MOST && nowMs - this.lastMs < FORGOTTEN_MS
  }
}
