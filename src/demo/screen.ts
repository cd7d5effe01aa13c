// The demo's output: lines with the time since the start and, on a terminal, one status line below them that is written anew.
// Without a terminal the status is a line of its own every ten seconds.

const quietIntervalMs = 10_000

export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly #status: () => string
  readonly #startedAt = performance.now()
  readonly #interactive: boolean
  #timer: NodeJS.Timeout | null = null

  constructor(out: NodeJS.WriteStream, status: () => string) {
    this.#out = out
    this.#status = status
    this.#interactive = out.isTTY === true
  }

  /** Text as it is, without the time. */
  print(text: string): void {
    this.#clear()
    this.#out.write(`${text}\n`)
    this.#draw()
  }

  /** One line of what just happened. */
  tell(line: string): void {
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(1).padStart(6)
    this.print(`${seconds}s  ${line}`)
  }

  startStatus(): void {
    this.#timer = setInterval(
      () => (this.#interactive ? this.#redraw() : this.tell(this.#status())),
      this.#interactive ? 500 : quietIntervalMs,
    )
  }

  stopStatus(): void {
    if (this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
    this.#clear()
    this.tell(this.#status())
  }

  #redraw(): void {
    this.#clear()
    this.#draw()
  }

  #clear(): void {
    if (this.#interactive && this.#timer !== null) this.#out.write('\r\x1b[K')
  }

  #draw(): void {
    if (this.#interactive && this.#timer !== null)
      this.#out.write(this.#status().slice(0, Math.max(20, (this.#out.columns || 80) - 1)))
  }
}
