// The demo's output: lines with the time since the start and, on a terminal, a status below them that is redrawn.
// Without a terminal the status is printed every ten seconds.

const quietIntervalMs = 10_000

export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly #status: () => readonly string[]
  readonly #startedAt = performance.now()
  readonly #interactive: boolean
  #timer: NodeJS.Timeout | null = null
  /** Number of status lines on the screen. */
  #drawn = 0

  constructor(out: NodeJS.WriteStream, status: () => readonly string[]) {
    this.#out = out
    this.#status = status
    this.#interactive = out.isTTY === true
  }

  /** Prints text without the time. */
  print(text: string): void {
    this.#clear()
    this.#out.write(`${text}\n`)
    this.#draw()
  }

  /** Prints one line about an event, with the time since the start in seconds. */
  event(line: string): void {
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(1).padStart(6)
    this.print(`${seconds}s  ${line}`)
  }

  startStatus(): void {
    this.#timer = setInterval(
      () => (this.#interactive ? this.#redraw() : this.#printStatus()),
      this.#interactive ? 500 : quietIntervalMs,
    )
  }

  stopStatus(): void {
    if (this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
    this.#clear()
    this.#printStatus()
  }

  #printStatus(): void {
    for (const line of this.#status()) this.event(line)
  }

  #redraw(): void {
    this.#clear()
    this.#draw()
  }

  #clear(): void {
    if (this.#drawn === 0) return
    this.#out.write(`\r\x1b[K${'\x1b[A\x1b[K'.repeat(this.#drawn - 1)}`)
    this.#drawn = 0
  }

  #draw(): void {
    if (!this.#interactive || this.#timer === null) return
    const width = Math.max(20, (this.#out.columns || 80) - 1)
    const lines = this.#status().map(line => line.slice(0, width))
    this.#out.write(lines.join('\n'))
    this.#drawn = lines.length
  }
}
