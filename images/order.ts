/** Which images are built, and in which order. Pure. */

export interface ImageFolder {
  readonly name: string
  /** The image of this project that it is built from. */
  readonly base?: string
  /** It copies the project's own source: the whole checkout is sent to Docker. */
  readonly fromCheckout: boolean
}

/** `wanted` (empty: all) with what they are built from, each after its base. @throws when two need each other. */
export function inOrder(folders: readonly ImageFolder[], wanted: readonly string[]): readonly ImageFolder[] {
  const ordered: ImageFolder[] = []
  const add = (folder: ImageFolder, above: readonly string[]): void => {
    if (above.includes(folder.name)) throw new Error(`images need each other: ${[...above, folder.name].join(' → ')}`)
    if (ordered.includes(folder)) return
    const base = folders.find(({ name }) => name === folder.base)
    if (base) add(base, [...above, folder.name])
    ordered.push(folder)
  }
  for (const folder of folders) if (wanted.length === 0 || wanted.includes(folder.name)) add(folder, [])
  return ordered
}
