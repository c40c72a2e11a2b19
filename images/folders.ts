/** The folders below images/ that are images: those with a Dockerfile. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ImageFolder } from './order.ts'

/** These copy the project's own source. */
const fromCheckout: readonly string[] = ['hub']

export function imageFolders(checkout: string): readonly ImageFolder[] {
  return readdirSync(join(checkout, 'images'))
    .filter((name) => existsSync(join(checkout, 'images', name, 'Dockerfile')))
    .toSorted()
    .map((name) => {
      const text = readFileSync(join(checkout, 'images', name, 'Dockerfile'), 'utf8')
      const base = /^ARG BASE=[^\s/]+\/([a-z0-9-]+)/m.exec(text)?.[1]
      return { name, ...(base !== undefined && { base }), fromCheckout: fromCheckout.includes(name) }
    })
}
