/** What SLURM refuses, by its own number (slurm_errno.h), in a sentence that says what to do. Pure. */
import { LaunchRefused } from '../spawner.ts'
import type { ClusterRefused, Submission } from './cluster.ts'

type Asked = Pick<Submission, 'partition' | 'account' | 'qos' | 'reservation' | 'constraint' | 'licenses'>

const tooLarge = 'No machine of this partition has so much to give. Choose a smaller size or another partition.'
const reservation = ({ reservation: name }: Asked): string =>
  `The reservation ${name ?? ''} is not there, not for you, or not now. Choose another one or none.`

const sentences: Readonly<Record<number, (asked: Asked) => string>> = {
  2000: ({ partition }) => `There is no partition ${partition ?? ''} in this cluster. Choose another one.`,
  2001: () => 'This cluster has no default partition: choose one.',
  2002: () => 'You may not do this in SLURM. Ask your administrator.',
  2003: ({ partition }) => `You may not use the partition ${partition ?? ''}. Choose another one.`,
  2004: () => 'The machines that are asked for are not in this partition. Choose another partition.',
  2005: () => tooLarge,
  2006: () => 'This partition does not give so many machines to one job. Choose a smaller size.',
  2014: () => tooLarge,
  2015: () => 'This partition does not give so much to one job. Choose a smaller size, less time or another partition.',
  2029: ({ constraint }) => `No machine has the feature ${constraint ?? ''}. Choose another one or none.`,
  2044: () => tooLarge,
  2045: ({ account }) =>
    account === undefined
      ? 'You have no account in SLURM for this partition. Ask your administrator for one.'
      : `You may not use the account ${account} in SLURM. Choose another one, or ask its owner to add you.`,
  2048: ({ licenses }) => `This cluster has no licences ${licenses ?? ''} to give. Ask your administrator.`,
  2050: () =>
    'This is more than your account or quality of service allows. Choose a smaller size or less time, or stop another job.',
  2051: () => 'This partition does not give so much time. Choose less time or another partition.',
  2052: reservation,
  2053: reservation,
  2056: reservation,
  2066: ({ qos }) => `You may not use the quality of service ${qos ?? ''}. Choose another one.`,
  2069: () => tooLarge,
  2072: () => 'No machine of this partition has such GPUs. Choose another size or partition.',
  2115: () => 'No machine of this partition has such GPUs. Choose another size or partition.',
  2119: () => 'No machine of this partition has such GPUs. Choose another size or partition.',
  2129: reservation,
  2130: ({ partition }) => `Your account may not use the partition ${partition ?? ''}. Choose another one.`,
  2134: () => 'There are not so many GPUs. Choose a smaller size.',
}

/** SLURM is busy, starts, has a full spool, or takes nothing just now: trying again may help. */
const passing: ReadonlySet<number> = new Set([2016, 2019, 2027, 2061, 2068, 2070, 2101, 2105, 2120, 2125])

/** Undefined: it is tried again. */
export function refusalOf(error: ClusterRefused, asked: Asked, system = 'SLURM'): LaunchRefused | undefined {
  const sentence = sentences[error.number]
  if (sentence !== undefined) return new LaunchRefused(sentence(asked), { cause: error })
  if (error.number === inWords) return new LaunchRefused(error.message, { cause: error })
  // Its own numbers for what a job may ask. Anything else is trouble on the way: a dead slurmctld, a bad token.
  if (!isVerdict(error)) return undefined
  return new LaunchRefused(`${system} refused it: ${error.message}. Ask your administrator.`, { cause: error })
}

/** Of what is no SLURM: its own message says it. */
export const saidSo = 1
/** Of what is no SLURM: its message is a sentence for the user. */
export const inWords = 2

/** Whether SLURM looked at what was asked and said no; otherwise nobody knows whether it was done. */
export function isVerdict({ number }: ClusterRefused): boolean {
  return ((number >= 2_000 && number <= 2_999) || number === saidSo || number === inWords) && !passing.has(number)
}

/** Of the errors that come with a job: its partition is too small for it, so that it would wait for ever. */
export function isNever({ number }: ClusterRefused): boolean {
  return number === 2_015
}

/** There is no such job: it was forgotten, or never was. */
export function isNoJob({ number }: ClusterRefused): boolean {
  return number === 2_017
}

/** It ended already. */
export function isDone({ number }: ClusterRefused): boolean {
  return number === 2_021 || number === 2_084
}
