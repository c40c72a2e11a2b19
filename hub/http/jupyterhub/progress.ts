/** The start of one environment as JupyterHub's clients follow it: plain `data:` events until it is ready or failed. */
import { PassThrough } from 'node:stream'
import type { Context } from 'koa'
import type { Environment } from '../../domain/environment.ts'
import { Problem } from '../../domain/problem.ts'
import type { ApiTools } from './tools.ts'

const keepAliveMs = 8_000
/** Nobody waits longer; a client that still wants to know asks again. */
const longestMs = 3_600_000

/** How far a start has come, in the order in which the stages follow. */
const percentOf: Readonly<Record<string, number>> = {
  accepted: 5,
  queued: 10,
  scheduling: 20,
  pulling: 40,
  mounting: 60,
  starting: 80,
}

/** @throws Problem badRequest when it neither starts, nor runs, nor failed just now */
export function followProgress(ctx: Context, tools: ApiTools, userId: string, first: Environment): void {
  const { environments, log } = tools
  if (first.state.is === 'stopping' || (first.state.is === 'ended' && first.readyAt !== undefined)) {
    throw new Problem('badRequest', `${first.owner}/${first.server} is not starting.`)
  }
  const stream = new PassThrough()
  ctx.status = 200
  ctx.set('Content-Type', 'text/event-stream')
  ctx.set('Cache-Control', 'no-cache')
  ctx.set('X-Accel-Buffering', 'no')
  ctx.body = stream
  let last = ''
  let isOver = false

  const show = (environment: Environment): void => {
    if (isOver) return
    const event = eventOf(environment)
    const text = `data: ${JSON.stringify(event)}\n\n`
    if (text === last) return
    last = text
    stream.write(text)
    if ('ready' in event || 'failed' in event) end()
  }
  const look = async (): Promise<void> => {
    const now = await environments.get(first.id)
    if (now === undefined) end()
    else show(now)
  }
  const failed = (error: unknown): void => {
    log.warn({ environment: first.id, err: error }, 'a stream of progress was closed')
    end()
  }
  const unsubscribe = environments.subscribe(userId, (id) => {
    if (id === first.id) look().catch(failed)
  })
  const beat = setInterval(() => stream.write('\n\n'), keepAliveMs)
  const limit = setTimeout(() => end(), longestMs)
  const end = (): void => {
    if (isOver) return
    isOver = true
    unsubscribe()
    clearInterval(beat)
    clearTimeout(limit)
    stream.end()
  }
  ctx.res.once('close', end)
  // A client that leaves is no news.
  stream.on('error', () => end())
  show(first)
}

type Progress =
  | Readonly<{ progress: number; message: string }>
  | Readonly<{ progress: 100; ready: true; message: string; html_message: string; url: string }>
  | Readonly<{ progress: 100; failed: true; message: string }>

function eventOf({ state, spec }: Environment): Progress {
  switch (state.is) {
    case 'starting':
      return { progress: percentOf[state.stage] ?? 0, message: state.message }
    case 'ready':
    case 'unreachable': {
      const url = spec.prefix
      const html_message = `Server ready at <a href="${url}">${url}</a>`
      return { progress: 100, ready: true, message: `Server ready at ${url}`, html_message, url }
    }
    case 'stopping':
      return { progress: 100, failed: true, message: 'It is being stopped.' }
    case 'ended':
      return { progress: 100, failed: true, message: state.message }
  }
}
