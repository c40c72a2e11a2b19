/** Where an environment's route leads, from its row alone. Pure. */
import type { Route, Target } from '../../proxy/feed.ts'
import { environmentHost } from './environment-host.ts'
import type { Environment } from './environment.ts'
import { viewersOf } from './viewers.ts'

/** Where an application without an agent said that it listens. */
export function plainUrl(host: string, port: number): URL {
  return new URL(`http://${host.includes(':') ? `[${host}]` : host}:${port}/`)
}

/**
 * Undefined: none yet, or no more. A route is there from the first answer of its agent until the environment ended or
 * moved: one that does not answer just now keeps it. `hosts`: {user}.envs.example.org, or undefined.
 */
export function routeOf(environment: Environment, hosts: string | undefined): Route | undefined {
  const { address, id, owner, userId, spec } = environment
  if (address === undefined) return undefined
  const viewers = viewersOf(spec)
  return {
    id,
    generation: address.generation,
    prefix: spec.prefix,
    host: hosts === undefined ? null : environmentHost(hosts, owner),
    owner: { id: userId, name: owner },
    target: targetOf(environment, address),
    ...(viewers === undefined ? {} : { viewers }),
  }
}

function targetOf({ id, observation, spec }: Environment, { host, port }: { host: string; port: number }): Target {
  if (observation?.phase === 'running' && observation.address !== undefined) {
    return { kind: 'http', url: observation.address.href }
  }
  if (spec.protocol === 'jupyterhub') return { kind: 'http', url: plainUrl(host, port).href }
  return { kind: 'psk', host, port, identity: id }
}
