/** What the parts of forwarding share: who decides, who is connected, what is counted. */
import type { Bag, Bagged } from '../bag.ts'
import type { Deadlines } from '../deadlines.ts'
import type { Route } from '../feed.ts'
import type { Answer } from '../http/answer.ts'
import type { Framing } from '../http/framing.ts'
import type { MessageError, RequestHead } from '../http/head.ts'
import type { Entry } from '../ticket.ts'
import type { Client } from './client.ts'
import type { Inlets } from './inlets.ts'
import type { RequestRules, ResponseRules } from './fields.ts'
import type { Pool } from './pool.ts'
import type { Request } from './request.ts'
import type { Bug } from './upstream.ts'

interface Incoming {
  readonly client: Client
  readonly head: RequestHead
  readonly framing: Framing
  /** What came with the head. */
  readonly rest: Buffer
}

export type Decision =
  | Readonly<{
      do: 'forward'
      pool: Pool
      request: RequestRules
      response: ResponseRules
      /** Of an environment; absent: the hub. */
      route?: Route
      entry?: Entry
      /** Of what the browser sends on a WebSocket no message goes on. */
      listensOnly?: true
      /** Somebody did something there. */
      active?: () => void
    }>
  | Readonly<{ do: 'answer'; answer: Answer | Promise<Answer>; cause?: string }>
  /** Reads a small body, then answers. */
  | Readonly<{ do: 'collect'; mostBytes: number; answer: (body: Buffer) => Answer | Promise<Answer> }>

export type Forward = Extract<Decision, { do: 'forward' }>

/** Why there is no answer from behind. */
export interface Failure {
  readonly is: 'unreachable' | 'timeout' | 'full' | 'closed' | 'garbled'
  /** For the log. */
  readonly cause: string
}

/** Pure but for the tables that it closes over. */
export interface Gate {
  decide(request: Request): Decision
  /** What a browser is told when the way behind fails. */
  explain(request: Request, decision: Forward, failure: Failure): Answer | Promise<Answer>
}

/** What goes on now, on behalf of somebody. */
export interface Live extends Bagged {
  readonly entry: Entry | undefined
  readonly route: Route | undefined
  readonly kind: 'http' | 'websocket'
  /** Bytes of its bodies so far, both ways. */
  readonly moved: () => number
  /** The entry no longer counts. */
  cut(): void
  /** The proxy stops: WebSockets are told, the rest goes on until it is done. */
  drain(): void
}

/** What the access log gets at the end of each request. */
export interface Done {
  readonly request: Request
  readonly status: number
  readonly kind: 'http' | 'websocket'
  readonly route: Route | undefined
  readonly entry: Entry | undefined
  readonly bytesIn: number
  readonly bytesOut: number
  readonly cause: string | undefined
}

export interface Limits {
  readonly headBytes: number
  readonly headMs: number
  readonly keepAliveMs: number
  readonly stallMs: number
  readonly responseHeadMs: number
}

export interface Forwarding {
  readonly limits: Limits
  readonly deadlines: Deadlines
  readonly inlets: Inlets
  readonly clients: Set<Client>
  readonly live: Bag<Live>
  readonly gate: Gate
  /** The proxy stops: connections are not kept. */
  readonly draining: boolean
  /** Throws MessageError. */
  handle(incoming: Incoming): void
  /** A message that was not understood, and so never became a request. */
  refused(client: Client, error: MessageError): void
  done(done: Done): void
  readonly bug: Bug
}
