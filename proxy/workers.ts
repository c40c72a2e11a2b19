/** A crew of processes that share the port (node:cluster). One that dies is replaced, and gets the whole table. */
import cluster, { type Worker } from 'node:cluster'
import { createServer } from 'node:net'
import { StartError } from './config.ts'
import type { Crew, Primary } from './crew.ts'
import { listening } from './engine.ts'
import type { HubMessage } from './feed.ts'
import type { Log } from './log.ts'
import type { Statistics } from './statistics.ts'

/** To a worker; each is answered with the same `n`. */
export type ToWorker = Readonly<{ n: number }> &
  (
    | Readonly<{ type: 'apply'; message: HubMessage }>
    | Readonly<{ type: 'listen' | 'statistics' | 'reload' | 'drain' }>
    | Readonly<{ type: 'ticket'; ok: boolean }>
  )

/** From a worker: answers, and what it asks itself. */
export type FromWorker =
  /** It listens to orders. */
  | Readonly<{ type: 'ready' }>
  | Readonly<{ type: 'done'; n: number; statistics?: Statistics; failed?: string }>
  | Readonly<{ type: 'useTicket'; n: number; id: string; issuedAt: number; expiresAt: number }>
  | Readonly<{ type: 'seen'; at: Readonly<Record<string, number>>; transfers: Readonly<Record<string, number>> }>

interface Member {
  readonly worker: Worker
  readonly waiting: Map<number, (answer: Extract<FromWorker, { type: 'done' }>) => void>
}

const answerTimeoutMs = 30_000
const restartDelayMs = 1_000

export function crewOfWorkers(options: {
  size: number
  script: string
  args: readonly string[]
  primary: Primary
  listen: { readonly host?: string; readonly port: number }
  drainMs: number
  log: Log
}): Crew {
  const { size, primary, log } = options
  const members = new Set<Member>()
  let next = 0
  let draining = false
  cluster.setupPrimary({ exec: options.script, args: [...options.args] })

  return {
    apply: async (message) => await all({ type: 'apply', message }),
    async listen() {
      await checkFree(options.listen)
      for (let index = 0; index < size; index += 1) await hire()
    },
    async statistics() {
      const answers = await Promise.all([...members].map((member) => ask(member, { type: 'statistics' })))
      return answers.flatMap(({ statistics }) => statistics ?? [])
    },
    reloadCertificate: async () => await all({ type: 'reload' }),
    async drain() {
      draining = true
      await Promise.all([...members].map((member) => ask(member, { type: 'drain' }, options.drainMs + answerTimeoutMs)))
      for (const { worker } of members) worker.kill()
    },
    get size() {
      return members.size
    },
  }

  async function hire(): Promise<void> {
    const worker = cluster.fork()
    const member: Member = { worker, waiting: new Map() }
    const ready = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => worker.process.kill('SIGKILL'), answerTimeoutMs)
    worker.on('message', (message: FromWorker) =>
      message.type === 'ready' ? ready.resolve(true) : hear(member, message),
    )
    worker.on('error', (error) => log.error({ err: error, pid: worker.process.pid }, 'a worker can not be reached'))
    worker.on('exit', (code, signal) => {
      ready.resolve(false)
      left(member, code, signal)
    })
    const isReady = await ready.promise
    clearTimeout(timer)
    if (!isReady) throw new StartError('a worker ended as it started')
    // From here on changes reach it too, behind the table, because messages keep their order.
    members.add(member)
    const table = ask(member, {
      type: 'apply',
      message: {
        type: 'table',
        seq: 0,
        routes: [...primary.tables.routes.all()],
        revocations: [...primary.tables.revocations.all()],
      },
    })
    for (const { failed } of [await table, await ask(member, { type: 'listen' })]) {
      if (failed !== undefined) throw new StartError(failed)
    }
  }

  function left(member: Member, code: number | null, signal: string | null): void {
    members.delete(member)
    for (const [n, answer] of member.waiting) answer({ type: 'done', n, failed: 'the worker ended' })
    if (draining) return
    log.error({ pid: member.worker.process.pid, code, signal }, 'a worker ended; another one takes its place')
    setTimeout(() => {
      if (draining) return
      hire().catch((error: unknown) => log.error({ err: error }, 'a worker could not be started'))
    }, restartDelayMs)
  }

  function hear({ worker, waiting }: Member, message: FromWorker): void {
    switch (message.type) {
      case 'done':
        waiting.get(message.n)?.(message)
        waiting.delete(message.n)
        break
      case 'useTicket': {
        const ok = primary.tickets.use(message.id, message.issuedAt, message.expiresAt)
        worker.send({ type: 'ticket', n: message.n, ok } satisfies ToWorker)
        break
      }
      case 'seen':
        primary.activity.add(message.at)
        primary.transfers.add(message.transfers)
        break
      case 'ready':
        break
    }
  }

  /** A worker that ended meanwhile needs no answer: its successor gets everything anew. */
  async function all(message: Order): Promise<void> {
    const answers = await Promise.all([...members].map((member) => ask(member, message)))
    const failed = answers.find((answer) => answer.failed !== undefined && answer.failed !== 'the worker ended')?.failed
    if (failed !== undefined) throw new StartError(failed)
  }

  async function ask(
    { worker, waiting }: Member,
    order: Order,
    timeoutMs = answerTimeoutMs,
  ): Promise<Extract<FromWorker, { type: 'done' }>> {
    next += 1
    const n = next
    return await new Promise((resolve) => {
      const timer = setTimeout(() => {
        waiting.delete(n)
        // It hangs: whoever waits for it would wait for ever.
        worker.process.kill('SIGKILL')
        resolve({ type: 'done', n, failed: 'the worker ended' })
      }, timeoutMs)
      waiting.set(n, (answer) => {
        clearTimeout(timer)
        resolve(answer)
      })
      worker.send({ ...order, n }, (error) => {
        if (error instanceof Error) waiting.get(n)?.({ type: 'done', n, failed: 'the worker ended' })
      })
    })
  }
}

/** Sockets that share a port would share it with another proxy too: an exclusive one finds out. */
async function checkFree(where: { readonly host?: string; readonly port: number }): Promise<void> {
  const server = createServer()
  await listening(server, where)
  await new Promise((resolve) => server.close(resolve))
}

type Order =
  | Readonly<{ type: 'apply'; message: HubMessage }>
  | Readonly<{ type: 'listen' | 'statistics' | 'reload' | 'drain' }>
