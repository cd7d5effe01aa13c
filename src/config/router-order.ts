// The order in which routers are asked: the same in the data plane, in the warnings about labels and in what people are shown.

/** Priority from high to low, then name by code unit; for `sort`. */
export function compareRouters(
  a: { readonly priority: number; readonly name: string },
  b: { readonly priority: number; readonly name: string },
): number {
  if (a.priority !== b.priority) return b.priority - a.priority
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
