/** The desktop's own keyboard layout. What is typed arrives whatever it is; programs that ask for places of keys see it. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { findOnPath } from '../executable.ts'

export interface Keyboard {
  readonly name: string
  readonly title: string
}

export interface Keyboards {
  /** Empty where layouts can't be set. */
  list(): Promise<readonly Keyboard[]>
  /** False: there is no such layout, or it can't be set. */
  choose(name: string): Promise<boolean>
}

const rules = '/usr/share/X11/xkb/rules/base.lst'
const timeoutMs = 10_000

export function createKeyboards(environment: () => NodeJS.ProcessEnv | undefined): Keyboards {
  const list = async (): Promise<readonly Keyboard[]> => {
    if (findOnPath('setxkbmap', environment()?.['PATH'] ?? '') === undefined) return []
    return parseLayouts(await readFile(rules, 'utf8').catch(() => ''))
  }
  return {
    list,
    async choose(name) {
      const env = environment()
      if (env === undefined || !(await list()).some((each) => each.name === name)) return false
      return await promisify(execFile)('setxkbmap', ['-layout', name], { env, timeout: timeoutMs }).then(
        () => true,
        () => false,
      )
    },
  }
}

/** The section of layouts of base.lst: a name and what people call it on each line. */
export function parseLayouts(text: string): Keyboard[] {
  const section = /^! layout\n([^!]*)/m.exec(text)?.[1] ?? ''
  return section
    .split('\n')
    .flatMap((line) => {
      const [, name, title] = /^\s+(\S+)\s+(\S.*)$/.exec(line) ?? []
      return name === undefined || title === undefined || name === 'custom' ? [] : [{ name, title }]
    })
    .toSorted((a, b) => a.title.localeCompare(b.title, 'en'))
}
