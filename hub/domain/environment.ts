/** One environment as the rest of the hub sees it: the row, read. States are unions, never sets of flags. */
import type { EndReason, EnvironmentId, EnvironmentSpec, Observation } from '../../spawners/spawner.ts'

export type Wanted = Readonly<{ is: 'present' }> | Readonly<{ is: 'absent'; reason: EndReason; since: Date }>

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
  readonly proposals: readonly string[]
  readonly title?: string
  /** A path below the prefix's file browser to open first, e.g. a notebook. */
  readonly open?: string
}

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
  /** Whether its route may be in the proxy's table, and where it leads. */
  readonly address?: Readonly<{ host: string; port: number; generation: number }>
}
