// placeholder
export async function health(_args: readonly string[]): Promise<number> {
  return 1
}
