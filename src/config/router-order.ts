// The order in which routers are tried: the same in the data plane, in warnings about labels and in reports.

/** Descending priority, then ascending name (by code unit); for `sort`. */
export function compareRouters(
  a: { readonly priority: number; readonly name: string },
  b: { readonly priority: number; readonly name: string },
): number {
  if (a.priority !== b.priority) return b.priority - a.priority
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
