// Tables for a terminal: columns as wide as their maxWidths cell, within bounds. Cells are made printable.

import { printable } from '../util/printable.ts'

/** At most `width` characters; a cut is marked by an ellipsis. */
export function clip(text: string, width: number): string {
  const characters = [...text]
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`
}

/** One line for each row; the first row is the header. `maxWidths` bounds the columns; a column without a bound is not cut. */
export function tableLines(rows: readonly (readonly string[])[], maxWidths: readonly number[] = []): string[] {
  const cells = rows.map(row => row.map((cell, column) => clip(printable(cell), maxWidths[column] ?? Number.POSITIVE_INFINITY)))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map(row => [...(row[column] as string)].length)))
  return cells.map(row =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] as number) - [...cell].length))
      .join('  ')
      .trimEnd(),
  )
}
