/** What Docker shows of one container → what it means. Pure. */
import { oneLine } from '../common/oneLine.ts'
import type { EndReason, Observation } from '../spawner.ts'
import { label } from './names.ts'
import { diskIsFull } from './words.ts'

/** The part of a container that is read: of the list, and of a look at it alone. */
export interface SeenContainer {
  readonly labels: Readonly<Record<string, string>>
  readonly state: State
  readonly addresses: readonly string[]
  /** The end that was moved. */
  readonly endsAt?: Date
}

export interface State {
  readonly status: string
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly exitCode: number
  readonly outOfMemory: boolean
  /** What kept it from starting. */
  readonly error: string
}

type Ended = Extract<Observation, { phase: 'ended' }>

const outOfMemoryMessage = 'It needed more memory than it was given.'

/** `publishedAt`: where its port is published, when its own address leads nowhere. */
export function readContainer(seen: SeenContainer, publishedAt: string | undefined): Observation {
  const { status, startedAt } = seen.state
  switch (status) {
    case 'created':
      if (seen.state.error !== '') return failedToStart(seen.state.error)
      return { phase: 'pending', stage: 'starting', message: 'The container is being started' }
    case 'running':
    case 'paused':
    case 'restarting': {
      const hosts = publishedAt === undefined ? seen.addresses : [publishedAt]
      if (startedAt === undefined || hosts.length === 0) {
        return { phase: 'pending', stage: 'starting', message: 'The container is being started' }
      }
      return { phase: 'running', hosts, startedAt, ...endOf(seen, startedAt) }
    }
    case 'removing':
      return { phase: 'stopping' }
    case 'exited':
    case 'dead':
      return readEnd(seen.state)
    default:
      return { phase: 'unknown', message: `Docker says that it is "${oneLine(status)}"` }
  }
}

function readEnd({ exitCode, outOfMemory, startedAt, finishedAt, error }: State): Ended {
  const times = {
    ...(startedAt !== undefined && { startedAt }),
    ...(finishedAt !== undefined && { endedAt: finishedAt }),
  }
  const over = (reason: EndReason, message: string): Ended => ({
    phase: 'ended',
    reason,
    message,
    exitCode,
    ...times,
  })
  if (startedAt === undefined && error !== '') return failedToStart(error)
  if (exitCode === 0) return over('completed', 'It ended')
  if (outOfMemory) return over('outOfMemory', outOfMemoryMessage)
  if (/no space left on device/i.test(error)) return over('failed', diskIsFull)
  const why = oneLine(error)
  return over('failed', `It ended with exit code ${exitCode}${why === '' ? '' : `: ${why}`}`)
}

function failedToStart(error: string): Ended {
  if (/no space left on device/i.test(error)) return { phase: 'ended', reason: 'launchRefused', message: diskIsFull }
  const message = `The container can't be started: ${oneLine(error)}. Ask your administrator.`
  return { phase: 'ended', reason: 'launchRefused', message }
}

function endOf({ labels, endsAt }: SeenContainer, startedAt: Date): { endsAt?: Date } {
  if (endsAt !== undefined) return { endsAt }
  const walltimeMs = Number(labels[label.walltime] ?? '')
  return walltimeMs > 0 ? { endsAt: new Date(startedAt.getTime() + walltimeMs) } : {}
}

/** Docker writes year 1 for never. */
export function timeOf(text: string | undefined): Date | undefined {
  const time = Date.parse(text ?? '')
  return Number.isNaN(time) || time <= 0 ? undefined : new Date(time)
}
