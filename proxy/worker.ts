/** One process of a crew: an engine that takes its orders from the primary. */
import { codeOf, StartError } from './config.ts'
import type { Engine } from './engine.ts'
import type { FromWorker, ToWorker } from './workers.ts'

export interface WorkerLine {
  send(message: FromWorker): void
  onMessage(listener: (message: ToWorker) => void): void
}

export interface WorkerTools {
  /** Asks the primary. */
  readonly useTicket: (id: string, issuedAt: number, expiresAt: number) => Promise<boolean>
  /** Takes the engine's place from now on. */
  serve(engine: Engine): void
}

const ticketTimeoutMs = 5_000

export function workerTools(line: WorkerLine): WorkerTools {
  const waiting = new Map<number, (ok: boolean) => void>()
  let next = 0
  return {
    async useTicket(id, issuedAt, expiresAt) {
      next += 1
      const n = next
      return await new Promise((resolve) => {
        // Without an answer nobody knows whether it was used: it is refused.
        const timer = setTimeout(() => settle(false), ticketTimeoutMs)
        const settle = (ok: boolean): void => {
          clearTimeout(timer)
          waiting.delete(n)
          resolve(ok)
        }
        waiting.set(n, settle)
        line.send({ type: 'useTicket', n, id, issuedAt, expiresAt })
      })
    },
    serve(engine) {
      line.send({ type: 'ready' })
      line.onMessage((message) => {
        if (message.type === 'ticket') waiting.get(message.n)?.(message.ok)
        else
          obey(engine, message).then(
            (answer) => line.send({ type: 'done', n: message.n, ...answer }),
            (error: unknown) => line.send({ type: 'done', n: message.n, failed: failureText(error) }),
          )
      })
    },
  }
}

async function obey(
  engine: Engine,
  message: Exclude<ToWorker, { type: 'ticket' }>,
): Promise<Pick<Extract<FromWorker, { type: 'done' }>, 'statistics'>> {
  switch (message.type) {
    case 'apply':
      engine.tables.apply(message.message)
      engine.changed(message.message)
      return {}
    case 'listen':
      await engine.listen()
      return {}
    case 'statistics':
      return { statistics: engine.statistics() }
    case 'reload':
      await engine.reloadCertificate()
      return {}
    case 'drain':
      await engine.drain()
      return {}
  }
}

function failureText(error: unknown): string {
  return error instanceof StartError ? error.message : codeOf(error)
}
