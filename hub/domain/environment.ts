/** One environment as the rest of the hub sees it: the row, read. States are unions, never sets of flags. */
import type { AgentReport } from '../../images/agent/bootstrap.ts'
import {
  isEnvironmentId,
  type EndReason,
  type EnvironmentId,
  type EnvironmentSpec,
  type Observation,
} from '../../spawners/spawner.ts'
import type { EnvironmentRow } from '../store/schema.ts'
import type { Told } from './decide.ts'
import { endMessages } from './end-messages.ts'
import { type Extension, readExtensions } from './extension.ts'
import { readObservation } from './observation.ts'

type Wanted = Readonly<{ is: 'present' }> | Readonly<{ is: 'absent'; reason: EndReason; since: Date }>

/** What a page shows; derived from wanted × observed × agent, never stored. */
export type State =
  | Readonly<{ is: 'starting'; stage: string; message: string; position?: number; startEstimateAt?: Date }>
  | Readonly<{ is: 'ready' }>
  /** It ran, and just now nobody can tell: the backend or the agent does not answer. */
  | Readonly<{ is: 'unreachable'; message: string }>
  | Readonly<{ is: 'stopping' }>
  | Readonly<{ is: 'ended'; reason: EndReason; message: string; at: Date; log: string }>

/** What the user chose on the launch page; kept for "launch again" and for the record. */
export interface Choices {
  readonly profile: string
  readonly flavour: string
  readonly spawner?: string
  /** Of those that the spawner leaves to the user: name → value. */
  readonly options?: Readonly<Record<string, string>>
  readonly proposals: readonly string[]
  /** Of proposals that were not chosen whole: the datasets that were, as hub/domain/dataset-id.ts writes them. */
  readonly datasets?: readonly string[]
  /** Where archived datasets were restored to, as their reader says: dataset → folder. */
  readonly folders?: Readonly<Record<string, string>>
  readonly title?: string
  /** A path below the prefix's file browser to open first, e.g. a notebook. */
  readonly open?: string
  /** A terminal whose HOME is a temporary folder, with the real home beside it: for one that is full. */
  readonly rescue?: true
  /** To open first: a path below the folder of the first proposal. */
  readonly notebook?: string
}

/** The catalogue said so of a proposal of its; `since` then, ms since the epoch. */
export interface Unentitled {
  readonly since: number
  /** Until when it goes on. */
  readonly until: number
  /** Ids of the proposals; none: the user may not use this installation any more. */
  readonly proposals: readonly string[]
}

/** What is kept of an agent's report. */
export type Claim = Pick<AgentReport, 'application' | 'message'>

export interface Environment {
  readonly id: EnvironmentId
  readonly userId: string
  readonly owner: string
  readonly server: string
  readonly title: string
  readonly spawner: string
  readonly profile: string
  readonly flavour: string
  readonly image?: string
  readonly proposals: readonly string[]
  /** The owner's groups at the launch. */
  readonly groups: readonly string[]
  readonly extensions: readonly Extension[]
  readonly choices: Choices
  readonly spec: EnvironmentSpec
  readonly wanted: Wanted
  readonly state: State
  readonly observation?: Observation
  readonly requestedAt: Date
  readonly startedAt?: Date
  readonly readyAt?: Date
  readonly lastActivityAt?: Date
  readonly endsAt?: Date
  readonly unentitled?: Unentitled
  /** Whether its route may be in the proxy's table, and where it leads. */
  readonly address?: Readonly<{ host: string; port: number; generation: number }>
}

/** The row, read. What its state is follows from what is wanted, what was observed and whether its agent answers. */
export function readEnvironment(row: EnvironmentRow): Environment {
  if (!isEnvironmentId(row.id)) throw new Error(`the store holds an environment with a strange id: ${row.id}`)
  const spec = once((): EnvironmentSpec => JSON.parse(row.spec))
  const choices = once((): Choices => JSON.parse(row.choices))
  const proposals = once((): string[] => JSON.parse(row.proposals))
  const groups = once((): string[] => JSON.parse(row.owner_groups))
  const extensions = once(() => readExtensions(row.extensions))
  const observation = readObservation(row.observation)
  return {
    id: row.id,
    userId: row.user_id,
    get owner() {
      return spec().owner
    },
    server: row.server,
    title: row.title,
    spawner: row.spawner,
    profile: row.profile,
    flavour: row.flavour,
    ...(row.image === null ? {} : { image: row.image }),
    get proposals() {
      return proposals()
    },
    get groups() {
      return groups()
    },
    get extensions() {
      return extensions()
    },
    get choices() {
      return choices()
    },
    get spec() {
      return spec()
    },
    wanted: readWanted(row),
    state: readState(row, observation),
    ...(observation === undefined ? {} : { observation }),
    requestedAt: new Date(row.requested_at),
    ...date('startedAt', row.started_at),
    ...date('readyAt', row.ready_at),
    ...date('lastActivityAt', row.last_activity_at),
    ...date('endsAt', row.ends_at),
    ...(row.unentitled === null ? {} : { unentitled: JSON.parse(row.unentitled) as Unentitled }),
    ...readAddress(row, observation),
  }
}

/** Limits ask for all that somebody has, and few look into one. */
function once<T>(read: () => T): () => T {
  let value: { read: T } | undefined
  return () => (value ??= { read: read() }).read
}

function date<Name extends string>(name: Name, at: number | null): { [name in Name]?: Date } {
  return (at === null ? {} : { [name]: new Date(at) }) as { [name in Name]?: Date }
}

function readWanted(row: EnvironmentRow): Wanted {
  if (row.wanted === 'present') return { is: 'present' }
  return { is: 'absent', reason: (row.wanted_reason ?? 'cancelled') as EndReason, since: new Date(row.wanted_at) }
}

function readAddress(row: EnvironmentRow, observation: Told | undefined): Pick<Environment, 'address'> {
  if (row.ready_at === null || row.ended_at !== null) return {}
  if (row.host !== null && row.port !== null) {
    return { address: { host: row.host, port: row.port, generation: row.generation } }
  }
  if (observation?.phase !== 'running' || observation.address === undefined) return {}
  const { hostname, port, protocol } = observation.address
  const number = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)
  return { address: { host: hostname, port: number, generation: row.generation } }
}

function readState(row: EnvironmentRow, observation: Told | undefined): State {
  if (row.ended_at !== null) {
    const reason = (row.end_reason ?? 'failed') as EndReason
    const message = row.end_message ?? endMessages[reason]
    return { is: 'ended', reason, message, at: new Date(row.ended_at), log: row.log_tail ?? '' }
  }
  if (row.wanted === 'absent') return { is: 'stopping' }
  switch (observation?.phase) {
    case undefined:
      return { is: 'starting', stage: 'accepted', message: waiting(row) }
    case 'pending': {
      const { phase: _, ...rest } = observation
      return { is: 'starting', ...rest }
    }
    case 'running': {
      if (row.ready_at === null) return { is: 'starting', stage: 'starting', message: claimed(row) }
      if (row.unreachable_since === null) return { is: 'ready' }
      const since = new Date(row.unreachable_since).toISOString()
      return { is: 'unreachable', message: `It runs, but has not answered since ${since}. It is tried again.` }
    }
    case 'stopping':
    case 'ended':
      return { is: 'stopping' }
  }
}

function waiting(row: EnvironmentRow): string {
  if (row.accepted_at !== null) return 'The computing service accepted it.'
  if (row.attempts > 1) return 'The computing service did not answer; it is tried again.'
  return 'It is handed to the computing service.'
}

/** What its agent says of the start: for its owner alone, who could make it say anything. */
function claimed(row: EnvironmentRow): string {
  const claim: Claim | undefined = row.claim === null ? undefined : JSON.parse(row.claim)
  return claim?.message ?? 'It runs; the application is starting.'
}
