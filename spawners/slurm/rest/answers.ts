/** What is the same in every version of slurmrestd: how it says no. */
import { ClusterRefused, type List } from '../cluster.ts'
import { isDone, isNever, isNoJob } from '../refusals.ts'

interface SlurmError {
  readonly error?: string | null
  readonly error_number?: number | null
  /** v0.0.38's submit calls it so. */
  readonly error_code?: number | null
  readonly description?: string | null
}

export interface Answered<T> {
  readonly data?: T | undefined
  readonly error?: unknown
  readonly response: Response
}

/**
 * The data of a good answer. @throws ClusterRefused with SLURM's number: -1 also for a dead slurmctld, 5005 for a bad
 * token, both with status 500.
 */
export function dataOf<T>({ data, error, response }: Answered<T>): T {
  const [first] = errorsOf(data) ?? errorsOf(error) ?? []
  if (first !== undefined) {
    const number = first.error_number ?? first.error_code ?? -1
    throw new ClusterRefused(number, first.description ?? first.error ?? `error ${number}`)
  }
  if (!response.ok || data === undefined) throw new Error(`slurmrestd answered with ${response.status}`)
  return data
}

/**
 * The id of a submitted job. SLURM may take a job and add an error that says why it has to wait (all its machines are
 * down, its reservation begins later): as for sbatch, where there is a number there is a job.
 *
 * @throws ClusterRefused when there is none, or when it would wait for ever; `cancel` has ended that one.
 */
export async function submittedOf(
  answer: Answered<Readonly<{ job_id?: number | null }>>,
  cancel: (jobId: number) => Promise<void>,
): Promise<number> {
  const jobId = answer.data?.job_id ?? 0
  try {
    dataOf(answer)
  } catch (error) {
    if (!(error instanceof ClusterRefused) || jobId <= 0) throw error
    if (!isNever(error)) return jobId
    await ended(jobId, cancel)
    throw error
  }
  if (jobId <= 0) throw new Error('slurmrestd took a job and gave no number for it')
  return jobId
}

/** @throws what is no ClusterRefused when it stays: then nobody may think that there is no job. */
async function ended(jobId: number, cancel: (jobId: number) => Promise<void>): Promise<void> {
  try {
    await cancel(jobId)
  } catch (cause) {
    throw new Error(`the job ${jobId} would wait for ever, and could not be cancelled`, { cause })
  }
}

function errorsOf(body: unknown): readonly SlurmError[] | undefined {
  if (typeof body !== 'object' || body === null || !('errors' in body) || !Array.isArray(body.errors)) return undefined
  return body.errors.length === 0 ? undefined : (body.errors as SlurmError[])
}

/** Seconds since the epoch; 0 and less: not known. */
export function dateOf(seconds: number | null | undefined): Date | undefined {
  return seconds === null || seconds === undefined || seconds <= 0 ? undefined : new Date(seconds * 1_000)
}

/** %j and its kin mean something to SLURM. */
export function plainOutput(path: string): string {
  return path.replaceAll('%', '%%')
}

/** A list of what may be had, by SLURM's own names: cpu, mem (megabytes), gres/gpu. */
export function tresByName(
  list: readonly Readonly<{ type?: string; name?: string | null; count?: number }>[] | undefined,
): Record<string, number> {
  const found: Record<string, number> = {}
  for (const { type = '', name, count } of list ?? []) {
    if (typeof count === 'number' && count >= 0) found[name ? `${type}/${name}` : type] = count
  }
  return found
}

/** The jobs' own document, not read yet. @throws as dataOf */
export function listOf(answer: Answered<ArrayBuffer>, reader: List['reader']): List {
  if (answer.error !== undefined) dataOf(answer)
  if (answer.data === undefined) throw new Error(`slurmrestd answered with ${answer.response.status}`)
  return { body: answer.data, reader }
}

/** That a job is not there any more is what was wanted. */
export async function unlessGone(cancel: () => Promise<unknown>): Promise<void> {
  try {
    await cancel()
  } catch (error) {
    if (!(error instanceof ClusterRefused) || !(isNoJob(error) || isDone(error))) throw error
  }
}

export function addressesOf(
  nodes: readonly Readonly<{ name?: string; address?: string; hostname?: string }>[],
): ReadonlyMap<string, string> {
  return new Map(nodes.map(({ name = '', address, hostname }) => [name, address ?? hostname ?? name]))
}

export function healthOf(ok: boolean): Readonly<{ ok: boolean; message: string }> {
  return { ok, message: ok ? 'The cluster answers.' : "The cluster's controller does not answer." }
}
