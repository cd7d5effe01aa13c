// Splits a stream of bytes into lines (the JSON objects of Docker's event stream). A line above the limit is dropped as a
// whole.

/**
 * Returns a function that takes chunks. `line` is called with each line without its end, `blank` for each empty line.
 * `maxBytes`: the maxBytes line.
 */
export function lineSplitter(maxBytes: number, line: (text: string) => void, blank = () => {}): (chunk: Buffer) => void {
  let pending: Buffer[] = []
  let size = 0
  let skipping = false
  const append = (part: Buffer): void => {
    size += part.length
    if (size > maxBytes) {
      skipping = true
      pending = []
    }
    if (!skipping) pending.push(part)
  }
  return chunk => {
    let from = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      append(chunk.subarray(from, at))
      if (!skipping) {
        const text = Buffer.concat(pending).toString('utf8').trim()
        if (text !== '') line(text)
        else blank()
      }
      pending = []
      size = 0
      skipping = false
      from = at + 1
    }
    if (from < chunk.length) append(chunk.subarray(from))
  }
}
