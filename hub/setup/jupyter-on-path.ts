/** A JupyterLab that the machine has already, if it works and environments can see it. */
import { open, realpath } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { z } from 'zod'
import { isExecutable } from '../../images/agent/executable.ts'
import { runProgram } from './program.ts'

export interface JupyterPlace {
  /** Holds `jupyter-lab`; goes first on the environment's PATH. */
  readonly binFolder: string
  /** What a sandbox must show, read-only; absent: it lies where every program of the system does. */
  readonly folder?: string
}

const answerTimeoutMs = 90_000

export async function findJupyter(path: string, signal: AbortSignal): Promise<JupyterPlace | undefined> {
  for (const binFolder of path.split(delimiter).filter((folder) => folder.startsWith('/'))) {
    if (!isExecutable(join(binFolder, 'jupyter-lab')) || !isExecutable(join(binFolder, 'jupyter'))) continue
    const place = await examine(binFolder, signal)
    if (place !== undefined) return place
  }
  return undefined
}

/** Undefined when it does not run, or needs files that a sandbox does not show (such as ~/.local, or a version manager's). */
async function examine(binFolder: string, signal: AbortSignal): Promise<JupyterPlace | undefined> {
  const python = await interpreter(join(binFolder, 'jupyter-lab'))
  if (python === undefined) return undefined
  const question = 'import json, sys, sysconfig; print(json.dumps([sys.prefix, sys.base_prefix]))'
  const asked = await runProgram([python, '-c', question], { timeoutMs: answerTimeoutMs, signal })
  const prefixes = prefixesSchema.safeParse(parseJson(asked.stdout))
  if (asked.exitCode !== 0 || !prefixes.success) return undefined
  const [prefix, basePrefix] = prefixes.data
  if (dirname(await realpath(binFolder)) !== (await realpath(prefix)) && !isSystem(binFolder)) return undefined
  if (!isSystem(basePrefix) && basePrefix !== prefix) return undefined
  const lab = await runProgram([join(binFolder, 'jupyter'), 'lab', '--version'], { timeoutMs: answerTimeoutMs, signal })
  if (lab.exitCode !== 0) return undefined
  return isSystem(prefix) ? { binFolder } : { binFolder, folder: prefix }
}

const prefixesSchema = z.tuple([z.string(), z.string()])

/** From the script's first line. */
async function interpreter(script: string): Promise<string | undefined> {
  const handle = await open(script, 'r')
  try {
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(512), position: 0 })
    const [, python] = /^#!\s*(\/\S*python[\d.]*)\s*\n/.exec(buffer.toString('utf8', 0, bytesRead)) ?? []
    return python
  } finally {
    await handle.close()
  }
}

/** Shown by every sandbox. */
function isSystem(path: string): boolean {
  return /^\/(usr|bin|opt)(\/|$)/.test(path)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
