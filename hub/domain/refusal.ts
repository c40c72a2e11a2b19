import { LaunchRefused } from '../../spawners/spawner.ts'
import { Problem } from './problem.ts'

/** Runs a check that spawners make too, before a row is written: their refusal as ours, the same words. */
export function refusingAsProblem<T>(check: () => T, field?: string): T {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof LaunchRefused)) throw error
    throw new Problem('launchRefused', error.message, { cause: error, ...(field === undefined ? {} : { field }) })
  }
}
