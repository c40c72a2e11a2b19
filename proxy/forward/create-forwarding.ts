/** Puts the parts of forwarding together: a connection in, and what is known of everything that goes on. */
import type { Socket } from 'node:net'
import { createBag } from '../bag.ts'
import type { Deadlines } from '../deadlines.ts'
import { serveClient, type Client } from './client.ts'
import { startExchange } from './exchange.ts'
import type { Decision, Done, Forwarding, Gate, Limits, Live } from './forwarding.ts'
import type { Inlets } from './inlets.ts'
import { readRequest, type Request, type RequestOptions } from './request.ts'
import { collect, respond } from './respond.ts'
import type { Bug } from './upstream.ts'

export interface CreateForwardingOptions extends RequestOptions {
  readonly limits: Limits
  readonly deadlines: Deadlines
  readonly inlets: Inlets
  readonly gate: Gate
  readonly done: (done: Done) => void
  readonly refused: (status: number) => void
  readonly bug: Bug
}

export interface RunningForwarding {
  readonly clients: ReadonlySet<Client>
  readonly live: Iterable<Live>
  readonly serve: (socket: Socket) => void
  /** Connections end after what they carry now; WebSockets are told. */
  drain(): void
}

export function createForwarding(options: CreateForwardingOptions): RunningForwarding {
  const clients = new Set<Client>()
  const live = createBag<Live>()
  let draining = false
  const forwarding: Forwarding = {
    limits: options.limits,
    deadlines: options.deadlines,
    inlets: options.inlets,
    clients,
    live,
    gate: options.gate,
    get draining() {
      return draining
    },
    handle({ client, head, framing, rest }) {
      const request = readRequest(client, head, framing, options)
      act(client, request, options.gate.decide(request), rest)
    },
    refused: (_client, error) => options.refused(error.status),
    done: options.done,
    bug: options.bug,
  }
  return {
    clients,
    live,
    serve: (socket) => void serveClient(socket, forwarding),
    drain() {
      draining = true
      for (const client of clients) client.retire()
      for (const each of live) each.drain()
    },
  }

  function act(client: Client, request: Request, decision: Decision, rest: Buffer): void {
    switch (decision.do) {
      case 'forward':
        if (decision.active !== undefined && isActivity(request.method)) decision.active()
        startExchange(forwarding, client, request, decision, rest)
        break
      case 'answer': {
        const { answer, cause } = decision
        respond({ forwarding, client, request, answer, rest, bodyDone: request.framing.kind === 'none', cause })
        break
      }
      case 'collect':
        collect({ forwarding, client, request, rest }, decision)
        break
    }
  }
}

/** Pages poll with GET; what a person does is sent otherwise. */
function isActivity(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD'
}
