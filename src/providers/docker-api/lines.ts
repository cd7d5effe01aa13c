// Cuts a stream of bytes into lines (JSON objects of Docker's event stream), with a bound: a line that is too long is dropped
// whole.

/**
 * Returns a function to feed chunks into; `line` is called with each whole line without its end, `longest` in bytes; `blank` with
 * every line of which nothing is left.
 */
export function lineSplitter(longest: number, line: (text: string) => void, blank = () => {}): (chunk: Buffer) => void {
  let held: Buffer[] = []
  let size = 0
  let skipping = false
  const take = (part: Buffer): void => {
    size += part.length
    if (size > longest) {
      skipping = true
      held = []
    }
    if (!skipping) held.push(part)
  }
  return chunk => {
    let from = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      take(chunk.subarray(from, at))
      if (!skipping) {
        const text = Buffer.concat(held).toString('utf8').trim()
        if (text !== '') line(text)
        else blank()
      }
      held = []
      size = 0
      skipping = false
      from = at + 1
    }
    if (from < chunk.length) take(chunk.subarray(from))
  }
}
