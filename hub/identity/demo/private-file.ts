/** Small JSON files that hold secrets: 0600, written whole or not at all. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { z } from 'zod'

/** What the file holds; at the first time what `make` makes. Throws with one clear sentence when it is not readable. */
export async function keptInFile<T>(path: string, schema: z.ZodType<T>, make: () => T | Promise<T>): Promise<T> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) {
    const value = await make()
    await writePrivate(path, `${JSON.stringify(value, null, 2)}\n`)
    return value
  }
  await chmod(path, 0o600)
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new Error(`${path} is damaged; remove it, and it is made anew`, { cause })
  }
}

async function writePrivate(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await writeFile(draft, text, { mode: 0o600, flag: 'wx' })
    await rename(draft, path)
  } finally {
    await rm(draft, { force: true })
  }
}
