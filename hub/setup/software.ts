/** The software of this machine that environments of `local` spawners start: JupyterLab, where a profile wants it. */
import type { Configuration } from '../../config/schema.ts'
import { defaultApplication } from '../../images/agent/applications.ts'
import { missingForDesktop } from '../../images/agent/desktop/programs.ts'
import type { Health, Log } from '../../spawners/spawner.ts'
import { findOrInstallJupyter, type Jupyter } from './jupyter.ts'

export interface SoftwareOptions {
  readonly configuration: Pick<Configuration, 'profiles' | 'spawners'>
  readonly log: Log
  readonly say: (line: string) => void
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
}

/** Percent between two lines of progress. */
const progressStep = 5

/** Looked for only where a profile starts JupyterLab of this machine. */
export async function jupyterFor(
  { configuration, log, say, env, signal }: SoftwareOptions,
  stateFolder: string,
): Promise<Jupyter> {
  const isLocal = (name: string): boolean => configuration.spawners[name]?.type === 'local'
  const wanted = Object.values(configuration.profiles).some(
    ({ kind, argv, on }) => kind === 'notebook' && argv === undefined && Object.keys(on).some(isLocal),
  )
  if (!wanted) return { binFolder: '/usr/bin' }
  let saidPercent = -progressStep
  const progress = ({ percent, message }: { percent: number; message: string }): void => {
    if (percent < saidPercent + progressStep && percent < 100) return
    saidPercent = percent
    say(`${String(percent).padStart(3)} %  ${message}`)
  }
  return await findOrInstallJupyter({ stateFolder, log, progress, signal, env })
}

/** What sandboxes show of it, and where it is looked for. */
export function softwareOf(jupyter: Jupyter): { readOnlyPaths: string[]; path: string[] } {
  if ('missing' in jupyter) return { readOnlyPaths: [], path: [] }
  const { binFolder, folder } = jupyter
  return { readOnlyPaths: folder === undefined ? [] : [folder], path: [binFolder] }
}

/** Where programs of every sandbox are found. */
const systemPath = '/usr/local/bin:/usr/bin:/bin'

/** Whether this machine can draw a desktop with this session; otherwise what is missing, for the launch page. */
export function missingDesktop(argv = defaultApplication('desktop').argv): string | undefined {
  return missingForDesktop(argv, systemPath)
}

export function healthOf(jupyter: Jupyter): Health {
  if ('missing' in jupyter) return { ok: false, message: jupyter.missing }
  return { ok: true, message: 'JupyterLab is there.' }
}
