/** From the answer 101 on: the heads are done, bytes flow. Apart from the exchange, so that nothing of it stays. */
import type { ResponseHead } from '../http/head.ts'
import type { Client } from './client.ts'
import { renderResponseHead } from './fields.ts'
import type { Forward, Forwarding, Live } from './forwarding.ts'
import type { Request } from './request.ts'
import { dropMessages } from './listening.ts'
import { openTunnel } from './tunnel.ts'
import type { Upstream } from './upstream.ts'

export interface TunnelStart {
  readonly forwarding: Forwarding
  readonly client: Client
  readonly request: Request
  readonly decision: Forward
  readonly upstream: Upstream
  readonly head: ResponseHead
  readonly fromClient: Buffer
  readonly fromUpstream: Buffer
}

const nothing: string[] = []
// Of IANA's registry. After 1001 JupyterLab stays away until its user says otherwise; after 1012 it comes back.
const serviceRestart = 1012
const policyViolation = 1008

export function startTunnel(start: TunnelStart): void {
  const { forwarding, client, decision, upstream } = start
  const { route, entry, active } = decision
  const request = forTheLog(start.request)
  let bytesIn = 0
  let bytesOut = 0
  const text = renderResponseHead(start.head, { kind: 'none' }, decision.response, { keepAlive: true, upgraded: true })
  client.socket.write(text, 'latin1')
  client.deadlineAt = 0
  client.socket.resume()
  const tunnel = openTunnel({
    client,
    upstream,
    inlets: forwarding.inlets,
    early: { fromClient: start.fromClient, fromUpstream: start.fromUpstream },
    ...(decision.listensOnly === true ? { passed: dropMessages() } : {}),
    active: active ?? nobodyActive,
    received: (bytes) => (bytesIn += bytes),
    sent: (bytes) => (bytesOut += bytes),
    closed() {
      forwarding.live.delete(live)
      forwarding.done({ request, status: 101, kind: 'websocket', route, entry, bytesIn, bytesOut, cause: undefined })
    },
  })
  const live: Live = {
    slot: -1,
    entry,
    route,
    kind: 'websocket',
    moved: () => bytesIn + bytesOut,
    cut: () => tunnel.close(policyViolation, 'This is no longer open to you'),
    drain: () => tunnel.close(serviceRestart, 'The proxy restarts'),
  }
  forwarding.live.add(live)
}

function nobodyActive(): void {
  // The hub's own WebSockets are nobody's environment.
}

/** Kept for hours, with what the log wants at the end alone. A part of a text keeps the whole head, a copy does not. */
function forTheLog(request: Request): Request {
  const { method, minor } = request.head
  const path = Buffer.from(request.path, 'latin1').toString('latin1')
  const head = { method, target: '', minor, raw: nothing, names: nothing, values: nothing }
  return { ...request, head, path, query: '', authority: '', way: '' }
}
