// placeholder
export async function routes(_args: readonly string[]): Promise<number> {
  return 1
}
