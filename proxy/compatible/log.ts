/** Lines as configurable-http-proxy writes them: people and JupyterHub's own tests read them. */
import type { Writable } from 'node:stream'
import type { CompatibleOptions } from './options.ts'

export interface CompatibleLog {
  readonly debug: (line: string) => void
  readonly info: (line: string) => void
  readonly warn: (line: string) => void
  readonly error: (line: string) => void
}

const ranks = { debug: 0, info: 1, warn: 2, error: 3 } as const
const longestBacklogBytes = 2 ** 20

export function createCompatibleLog(
  out: Writable,
  least: CompatibleOptions['logLevel'],
  now: () => Date,
): CompatibleLog {
  // Whoever read the output is gone: the proxy goes on without.
  out.on('error', () => {})
  const write = (level: keyof typeof ranks) => (line: string) => {
    if (ranks[level] < ranks[least] || out.writableLength > longestBacklogBytes) return
    out.write(`${now().toISOString().slice(11, 23)} [ConfigProxy] ${level}: ${line}\n`)
  }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
