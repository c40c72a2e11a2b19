/** An environment as pages and the pages' API show it: words and plain data, made from the row. Pure. */
import { createHash } from 'node:crypto'
import type { Configuration } from '../../config/schema.ts'
import type { EndReason, Stage } from '../../spawners/spawner.ts'
import type { AgentReport } from '../../images/agent/bootstrap.ts'
import type { Environment, State } from '../domain/environment.ts'
import type { PossibleExtension, QueuePlace } from '../domain/services.ts'
import { endsOf, type Ending, type Idle, type TimeLimits } from './ending.ts'
import { environmentUrl } from './environment-url.ts'

export interface EnvironmentView {
  readonly id: string
  readonly title: string
  readonly server: string
  readonly state: State['is']
  /** One or two words for the badge. */
  readonly stateTitle: string
  /** A sentence, when there is something to say. */
  readonly message?: string
  /** What its owner should know of how it was made. */
  readonly warning?: string
  readonly stage?: Stage
  /** Which of the steps on the waiting page it is at, 0-based. */
  readonly step?: number
  readonly position?: number
  readonly startEstimateAt?: Date
  readonly reason?: EndReason
  readonly log?: string
  readonly kind: string
  readonly profile: string
  readonly profileTitle: string
  readonly flavour: string
  readonly flavourTitle: string
  readonly image?: string
  readonly spawner: string
  readonly proposals: readonly string[]
  readonly cpu: number
  readonly memoryBytes: number
  readonly gpus: number
  readonly requestedAt: Date
  readonly startedAt?: Date
  readonly endsAt?: Date
  readonly endedAt?: Date
  /** By evidence of use, not by open pages: since when it is unused, and when it is stopped for that. */
  readonly idle?: Idle
  /** What ends it next, as far as it is known. */
  readonly ending?: Ending
  /** Whether its time can be made longer. Absent: it has no end, or is not running. */
  readonly extension?: Readonly<{ byMs: number } | { underWay: true } | { why: string }>
  /** Why the backend did not make its time longer, when it was asked last. */
  readonly notExtended?: string
  /** Where the browser goes once it is ready. */
  readonly url: string
  readonly usage?: UsageView
}

/** What the agent claims; absent: nothing known. */
interface UsageView {
  readonly cpu?: number
  readonly memoryBytes?: number
}

/** The steps of the waiting page, in order; every stage of every backend belongs to one. */
export const steps = ['Request accepted', 'Finding a place', 'Preparing software and data', 'Starting'] as const

const stepOf: Readonly<Record<Stage, number>> = {
  accepted: 0,
  queued: 1,
  scheduling: 1,
  pulling: 2,
  mounting: 2,
  starting: 3,
}

const stateTitles: Readonly<Record<State['is'], string>> = {
  starting: 'Starting',
  ready: 'Ready',
  unreachable: 'Not reachable',
  stopping: 'Stopping',
  ended: 'Ended',
}

const reasonTitles: Readonly<Record<EndReason, string>> = {
  completed: 'Finished',
  failed: 'Failed',
  outOfMemory: 'Out of memory',
  timeLimit: 'Time limit reached',
  idle: 'Stopped after no use',
  preempted: 'Made room for another job',
  evicted: 'Evicted from its node',
  nodeLost: 'Its node was lost',
  cancelled: 'Stopped',
  launchRefused: 'Refused',
  startTimeout: 'Took too long to start',
  vanished: 'Disappeared',
}

/** Ended in a way that its owner should look at. */
export function isTrouble(reason: EndReason): boolean {
  return reason !== 'completed' && reason !== 'cancelled' && reason !== 'idle' && reason !== 'timeLimit'
}

/** Changes when the list must be drawn again: figures of use move within what is drawn. */
export function versionOf(views: readonly EnvironmentView[]): string {
  const drawn = views.map(({ usage: _usage, ...rest }) => rest)
  return createHash('sha256').update(JSON.stringify(drawn)).digest('base64url').slice(0, 16)
}

export interface ViewContext extends TimeLimits {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly usage: AgentReport['usage']
  readonly extension?: PossibleExtension
  /** Where it waits for room. */
  readonly queued?: QueuePlace | undefined
}

export function environmentView(environment: Environment, context: ViewContext): EnvironmentView {
  const { configuration, publicUrl, usage } = context
  const { spec, state } = environment
  return {
    id: environment.id,
    title: environment.title,
    server: environment.server,
    state: state.is,
    stateTitle: stateTitles[state.is],
    ...stateView(state),
    ...queueView(state, context.queued),
    kind: spec.application.kind,
    profile: environment.profile,
    profileTitle: configuration.profiles[environment.profile]?.title ?? environment.profile,
    flavour: environment.flavour,
    flavourTitle: configuration.flavours[environment.flavour]?.title ?? environment.flavour,
    ...(environment.image === undefined ? {} : { image: environment.image }),
    spawner: environment.spawner,
    proposals: environment.proposals,
    cpu: spec.resources.cpu,
    memoryBytes: spec.resources.memoryBytes,
    gpus: spec.resources.gpus,
    ...(environment.spec.warning === undefined ? {} : { warning: environment.spec.warning }),
    requestedAt: environment.requestedAt,
    ...(environment.startedAt ? { startedAt: environment.startedAt } : {}),
    ...timeView(environment, context),
    ...(environment.endsAt ? { endsAt: environment.endsAt } : {}),
    url: environmentUrl(environment, configuration, publicUrl),
    ...(usage ? { usage: usageView(usage) } : {}),
  }
}

function usageView(usage: NonNullable<AgentReport['usage']>): UsageView {
  return {
    ...(usage.cpu === undefined ? {} : { cpu: usage.cpu }),
    ...(usage.memoryBytes === undefined ? {} : { memoryBytes: usage.memoryBytes }),
  }
}

function stateView(state: State): Partial<EnvironmentView> {
  switch (state.is) {
    case 'starting': {
      const stage = isStage(state.stage) ? state.stage : 'starting'
      return {
        stage,
        step: stepOf[stage],
        message: state.message,
        ...(state.position === undefined ? {} : { position: state.position }),
        ...(state.startEstimateAt ? { startEstimateAt: state.startEstimateAt } : {}),
      }
    }
    case 'unreachable':
      return { message: state.message }
    case 'ready':
    case 'stopping':
      return {}
    case 'ended':
      return {
        stateTitle: reasonTitles[state.reason],
        reason: state.reason,
        message: state.message,
        endedAt: state.at,
        log: state.log,
      }
  }
}

/** Its row says no more than that nobody was asked yet. */
function queueView({ is }: State, queued: QueuePlace | undefined): Partial<EnvironmentView> {
  if (is !== 'starting' || queued === undefined) return {}
  const message = 'All places are taken just now. Who used least lately comes first.'
  return { stage: 'queued', step: stepOf.queued, message, ...queued }
}

function isStage(text: string): text is Stage {
  return Object.hasOwn(stepOf, text)
}

type Ends = Pick<EnvironmentView, 'idle' | 'ending' | 'extension' | 'notExtended'>

function timeView(environment: Environment, context: ViewContext): Ends {
  const { state, extensions } = environment
  if (state.is !== 'ready' && state.is !== 'unreachable') return {}
  const { extension } = context
  const refused = extensions.at(-1)?.refused
  return {
    ...endsOf(environment, context),
    ...(extension === undefined ? {} : extensionView(extension)),
    ...(refused === undefined ? {} : { notExtended: refused }),
  }
}

function extensionView(extension: PossibleExtension): Pick<EnvironmentView, 'extension'> {
  switch (extension.is) {
    case 'possible':
      return { extension: { byMs: extension.byMs } }
    case 'underWay':
      return { extension: { underWay: true } }
    case 'impossible':
      return extension.why === undefined ? {} : { extension: { why: extension.why } }
  }
}
