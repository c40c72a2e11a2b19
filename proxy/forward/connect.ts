/** A socket to a target. TLS with a pre-shared key to agents; plain TCP, TLS or a unix socket to others. */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { agentKey, pskClient } from '../../images/agent/link.ts'
import type { Target } from '../feed.ts'

export interface Connector {
  readonly readyEvent: 'connect' | 'secureConnect'
  connect(onread: OnReadOpts): Socket
}

/** TLS settings for targets with an https URL: a private CA, a client certificate. */
export interface TargetTls {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  readonly rejectUnauthorized?: boolean
}

export function connector(target: Target, agentsKey: Buffer | undefined, tls: TargetTls = {}): Connector {
  switch (target.kind) {
    case 'unix':
      return {
        readyEvent: 'connect',
        connect: (onread) => tuned(connectTcp({ path: target.path, allowHalfOpen: true, onread })),
      }
    case 'psk': {
      const { host, port, identity } = target
      return {
        readyEvent: 'secureConnect',
        connect(onread) {
          if (agentsKey === undefined) throw new Error('agentsKeyFile is needed for targets with a pre-shared key')
          const options = pskClient(identity, agentKey(agentsKey, identity))
          return tuned(connectTls(Object.assign({ host, port, onread }, options)))
        },
      }
    }
    case 'http': {
      const url = new URL(target.url)
      const host = url.hostname.replace(/^\[|\]$/g, '')
      if (url.protocol !== 'https:') {
        const port = Number(url.port || 80)
        return {
          readyEvent: 'connect',
          connect: (onread) => tuned(connectTcp({ host, port, allowHalfOpen: true, onread })),
        }
      }
      const options = { ...tls, ...(isIP(host) === 0 ? { servername: host } : {}), ALPNProtocols: ['http/1.1'] }
      const port = Number(url.port || 443)
      return {
        readyEvent: 'secureConnect',
        connect: (onread) => tuned(connectTls(Object.assign({ host, port, onread }, options))),
      }
    }
  }
}

const probeAfterMs = 30_000

function tuned(socket: Socket): Socket {
  return socket.setNoDelay(true).setKeepAlive(true, probeAfterMs)
}
