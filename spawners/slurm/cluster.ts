/**
 * A batch cluster as this spawner sees it, whatever its version says on the wire: jobs as plain values, and the few
 * calls that are made. slurmrestd is one way to it.
 */

import type { ListReader } from './readers.ts'

/** A job, as far as anything is asked of it. Empty text: it has none. */
export interface ClusterJob {
  readonly jobId: number
  readonly name: string
  readonly user: string
  readonly uid: number
  readonly comment: string
  /** SLURM's own word: PENDING, RUNNING, COMPLETING … */
  readonly state: string
  /** SLURM's own word for why it waits or ended: Resources, QOSMaxJobsPerUserLimit … */
  readonly reason: string
  /** What SLURM says of it in a sentence. */
  readonly description: string
  readonly partition: string
  /** The node that its script runs on. */
  readonly batchHost: string
  readonly startAt: Date | undefined
  readonly endAt: Date | undefined
  readonly exit: Readonly<{ code: number; signal: number }> | undefined
  readonly priority: number
  readonly account?: string | undefined
  readonly qos?: string | undefined
  /** What it holds, as SLURM writes it: cpu=2,mem=1G,node=1,gres/gpu=1. */
  readonly tres?: string | undefined
  /** Why it waits, in a sentence; absent: the reason is one of SLURM's, which has its words. */
  readonly words?: string | undefined
}

/** What is asked for. cpus for each task; memory for each node. */
export interface Submission {
  readonly name: string
  readonly comment: string
  readonly script: string
  /** Where scripts are for everybody to read: what the script takes from a file that its user alone reads. */
  readonly claim?: Readonly<{ file: string; text: string }>
  readonly directory: string
  /** Where its output goes: as it is, nothing in it means anything. */
  readonly output: string
  readonly environment: Readonly<Record<string, string>>
  readonly timeLimitMinutes: number | undefined
  readonly cpus: number
  readonly memoryMegabytes: number
  readonly tasks: number
  readonly nodes: number
  readonly gpus: number
  readonly gpuType?: string | undefined
  readonly partition?: string | undefined
  readonly account?: string | undefined
  readonly qos?: string | undefined
  readonly reservation?: string | undefined
  readonly constraint?: string | undefined
  readonly licenses?: string | undefined
  readonly exclusive: boolean
}

/** All jobs, made small: those of this hub, and what it needs of the others. */
export interface Digest {
  readonly jobs: readonly ListedJob[]
  /** Of everybody. */
  readonly total: number
  /** What runs, by who it is of. */
  readonly usage: readonly Usage[]
}

/** cpu, mem (megabytes), node, gres/gpu …, by SLURM's own names. */
export type Tres = Readonly<Record<string, number>>

export interface Usage {
  readonly user: string
  readonly account: string
  readonly qos: string
  readonly jobs: number
  readonly tres: Tres
}

/** What the accounting lets people have; only what is limited is told. */
export interface AccountingLimits {
  readonly associations: readonly Association[]
  readonly qos: readonly Qos[]
}

export interface Association {
  readonly account: string
  /** Empty: of the account itself. */
  readonly user: string
  readonly parent: string
  readonly qos: readonly string[]
  /** Of all its jobs together. */
  readonly total: Tres
  readonly jobs: number | undefined
  readonly minutesPerJob: number | undefined
}

export interface Qos {
  readonly name: string
  readonly perUser: Tres
  readonly jobsPerUser: number | undefined
  readonly minutesPerJob: number | undefined
}

export interface ListedJob extends ClusterJob {
  /** Among those that wait in the same partition, 1 is next. */
  readonly position?: number | undefined
}

/** A person of the cluster. */
export interface Person {
  readonly user: string
  /** Absent for the hub's own account. */
  readonly uid?: number
}

/** A list, not read yet, because that is slow when there are many, and how it is read. */
export interface List {
  readonly body: ArrayBuffer
  readonly reader: ListReader
}

export interface Cluster {
  /** What it is called: SLURM. */
  readonly system: string
  /** Scripts are for everybody to read there. */
  readonly hasOpenScripts: boolean
  /** How long after its end a job may be in neither the list nor the accounting. Default 0. */
  readonly accountingLagMs?: number
  /** Every job of everybody, in one call. */
  list(signal: AbortSignal): Promise<List>
  /** What a list does not tell of this hub's jobs. */
  complete?(digest: Digest, signal: AbortSignal): Promise<Digest>
  /** The job's id, also of one that has to wait. @throws ClusterRefused when SLURM said no: then there is no job. */
  submit(person: Person, submission: Submission, signal: AbortSignal): Promise<number>
  /** Gone already is success. */
  cancel(person: Person, jobId: number, signal: AbortSignal): Promise<void>
  /** Takes away the file of a claim. */
  discard?(person: Person, file: string, signal: AbortSignal): Promise<void>
  /** As the hub's own account, which must be an operator. */
  setTimeLimit(jobId: number, minutes: number, signal: AbortSignal): Promise<void>
  /** What somebody would type to submit it. */
  lineOf(submission: Submission): string
  /** From the accounting: those of these names. */
  finished(names: readonly string[], since: Date, signal: AbortSignal): Promise<readonly ClusterJob[]>
  /** Where each node is reached: its name → its address. */
  addresses(signal: AbortSignal): Promise<ReadonlyMap<string, string>>
  /** Everybody's, in one look. Absent: it is not told. */
  limits?(signal: AbortSignal): Promise<AccountingLimits>
  ping(signal: AbortSignal): Promise<Readonly<{ ok: boolean; message: string }>>
  close(): Promise<void>
}

/** SLURM answered, and said no: the number is SLURM's own (slurm_errno.h). */
export class ClusterRefused extends Error {
  override readonly name = 'ClusterRefused'
  readonly number: number
  constructor(number: number, message: string) {
    super(message)
    this.number = number
  }
}
