/** What the pages follow live: one environment, or all of mine. Bounded per login, closed when the login ends. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Router } from '@koa/router'
import type { Context } from 'koa'
import type { Environments, Visitor } from '../domain/services.ts'
import type { EnvironmentId, Log } from '../../spawners/spawner.ts'
import { type EventStream, openEventStream } from './event-stream.ts'
import type { OwnEnvironments } from './own-environments.ts'
import { versionOf } from '../web/environment-view.ts'
import { requireScope, visitorOf } from './visitor.ts'

export interface EventOptions {
  readonly environments: Environments
  readonly own: OwnEnvironments
  /** Whether the login or token still counts; asked at each heartbeat. */
  readonly stillValid: (visitor: Visitor) => Promise<boolean>
  readonly log: Log
  readonly heartbeatMs: number
}

export function eventsRouter(options: EventOptions): Router {
  const { environments, own } = options
  const follow = follower(options)
  const router = new Router({ prefix: '/hub/api/v1' })

  router.get('/environments/:id/events', async (ctx) => {
    const visitor = visitorOf(ctx)
    const { id } = await own.get(ctx, ctx.params['id'])
    let sent = ''
    follow(ctx, visitor, {
      concerns: (changed) => changed === id,
      async update(stream) {
        const environment = await environments.get(id)
        if (environment === undefined) return stream.send('gone', {})
        const view = own.view(environment)
        const usualMs = await environments.usualStartMs(environment.profile, environment.spawner)
        const state = { ...view, ...(usualMs === undefined ? {} : { usualStartMs: usualMs }) }
        const text = JSON.stringify(state)
        // Most of what a start writes down is of no interest to whoever waits.
        if (text !== sent) stream.send('state', state)
        sent = text
      },
    })
  })

  router.get('/events', async (ctx) => {
    const visitor = visitorOf(ctx)
    let known: readonly EnvironmentId[] = []
    let sentUsage = ''
    follow(ctx, visitor, {
      concerns: () => true,
      async update(stream) {
        const items = await own.list(visitor)
        known = items.filter((each) => each.state.is !== 'ended').map((each) => each.id)
        const views = items.map(own.view)
        stream.send('environments', { version: versionOf(views), items: views })
      },
      tick(stream) {
        const usage = Object.fromEntries(known.map((id) => [id, environments.usage(id) ?? {}]))
        const text = JSON.stringify(usage)
        if (text !== sentUsage) stream.send('usage', usage)
        sentUsage = text
      },
    })
  })
  return router
}

interface Followed {
  concerns(id: EnvironmentId): boolean
  update(stream: EventStream): Promise<void>
  tick?(stream: EventStream): void
}

/**
 * Pages that a person may have open in one browser; hidden ones hold no stream (assets/follow.js). One more takes the
 * place of the oldest, which follows again when somebody turns to it.
 */
const mostPerLogin = 12
/** For readers that know nothing of this: two of them must not throw each other out all the time. */
const replacedRetryMs = 60_000
const usageMs = 5_000
/** Between two pushes of one stream: a start makes half a dozen changes in a moment, and one of them is seen. */
const restMs = 50

/** Opens a stream, sends the whole state at once and after each change: changes that come fast become one. */
function follower(options: EventOptions): (ctx: Context, visitor: Visitor, followed: Followed) => void {
  const { environments, stillValid, log, heartbeatMs } = options
  const open = new Map<string, Set<EventStream>>()
  return (ctx, visitor, followed) => {
    requireScope(visitor, 'read:servers')
    if (ctx.method === 'HEAD') {
      ctx.status = 200
      return
    }
    const already = open.get(visitor.login) ?? new Set()
    const [oldest] = already
    if (already.size >= mostPerLogin && oldest !== undefined) {
      oldest.send('replaced', {})
      oldest.close({ retryMs: replacedRetryMs })
    }
    const stream = openEventStream(ctx)
    open.set(visitor.login, already.add(stream))
    const failed = (error: unknown): void => {
      log.warn({ request: ctx.state['requestId'], err: error }, 'an event stream was closed')
      stream.close()
    }
    /** A login that ended must not see another line, whatever the next heartbeat would say. */
    const ifValid = async (work: () => void | Promise<void>): Promise<void> => {
      if (await stillValid(visitor)) return work()
      stream.send('logout', {})
      stream.close()
    }
    const push = coalesced(() => ifValid(() => followed.update(stream)), failed)
    const unsubscribe = environments.subscribe(visitor.user.id, (id) => {
      if (followed.concerns(id)) push()
    })
    const beat = (): void => void ifValid(() => stream.send('heartbeat', {})).catch(failed)
    const heartbeat = setInterval(beat, heartbeatMs)
    const tick = followed.tick && setInterval(() => followed.tick?.(stream), usageMs)
    stream.closed.addEventListener('abort', () => {
      unsubscribe()
      clearInterval(heartbeat)
      clearInterval(tick)
      already.delete(stream)
      if (already.size === 0 && open.get(visitor.login) === already) open.delete(visitor.login)
    })
    push()
  }
}

/** Runs `work` soon and never twice within the rest; calls that come meanwhile make one more run. */
function coalesced(work: () => Promise<void>, failed: (error: unknown) => void): () => void {
  let running = false
  let again = false
  const run = async (): Promise<void> => {
    running = true
    while (again) {
      again = false
      await work()
      await sleep(restMs, undefined, { ref: false })
    }
    running = false
  }
  return () => {
    again = true
    if (!running) run().catch(failed)
  }
}
