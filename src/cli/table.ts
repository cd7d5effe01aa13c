// Tables for a terminal: columns as wide as their widest cell, within bounds, and nothing in a cell that steers the terminal.

import { printable } from '../util/printable.ts'

/** At most `width` characters; what is cut off is told by an ellipsis. */
export function clip(text: string, width: number): string {
  const characters = [...text]
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`
}

/**
 * One line for each row, the first of which is the head. Cells are cut at `widest` characters (one bound for each column; none:
 * whole).
 */
export function tableLines(rows: readonly (readonly string[])[], widest: readonly number[] = []): string[] {
  const cells = rows.map(row => row.map((cell, column) => clip(printable(cell), widest[column] ?? Number.POSITIVE_INFINITY)))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map(row => [...(row[column] as string)].length)))
  return cells.map(row =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] as number) - [...cell].length))
      .join('  ')
      .trimEnd(),
  )
}
