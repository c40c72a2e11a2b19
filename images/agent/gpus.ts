/** What nvidia-smi shows, where there is one. */
import { execFile } from 'node:child_process'

export interface GpuUse {
  /** Percent. */
  readonly utilisation: number
  readonly memoryBytes: number
}

const query = ['--query-gpu=utilization.gpu,memory.used', '--format=csv,noheader,nounits']
const mostGpus = 64

/**
 * Gives the last answer and asks again meanwhile: a driver that takes its time must not delay a report.
 * Once the program is found missing it is not looked for again.
 */
export function createGpuReader(program = 'nvidia-smi'): () => readonly GpuUse[] | undefined {
  let isMissing = false
  let isAsking = false
  let latest: readonly GpuUse[] | undefined
  return () => {
    if (isMissing || isAsking) return latest
    isAsking = true
    execFile(program, query, { timeout: 5_000, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 }, (error, output) => {
      isAsking = false
      // A broken driver is as good as none; a slow answer may be quicker next time.
      isMissing = error !== null && error.killed !== true
      latest = error === null ? parseGpus(output) : undefined
    })
    return latest
  }
}

/** "31, 2048" for each: percent, MiB. Lines that hold something else ("[N/A]") are left out. */
export function parseGpus(output: string): readonly GpuUse[] {
  return output
    .split('\n')
    .map((line) => line.split(',').map((cell) => Number.parseFloat(cell)))
    .flatMap(([utilisation = Number.NaN, mebibytes = Number.NaN]) =>
      utilisation >= 0 && mebibytes >= 0 ? [{ utilisation, memoryBytes: mebibytes * 1024 * 1024 }] : [],
    )
    .slice(0, mostGpus)
}
