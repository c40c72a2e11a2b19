/** What browsers find below {prefix}_hutch/: the pages of the terminal and the desktop with their files, and notices for all. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { refuse, responseOn } from '../forward.ts'
import { redirect, sendAsset } from './answers.ts'
import type { Assets } from './assets.ts'

/** One page with all below it; `path` is what follows its own folder, without the query. */
export interface Place {
  request(path: string, incoming: IncomingMessage, response: ServerResponse): Promise<void> | void
  upgrade(path: string, incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> | void
  close(): void
}

export interface Site {
  /** `path` is what follows {prefix}_hutch/, without the query. */
  request(path: string, incoming: IncomingMessage, response: ServerResponse): Promise<void>
  upgrade(path: string, incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>
  close(): void
}

export interface SiteOptions {
  readonly assets: Assets
  /** By name: {prefix}_hutch/NAME/ */
  readonly places: Readonly<Record<string, Place>>
  /** By name: {prefix}_hutch/NAME, without anything below. */
  readonly doors: Readonly<Record<string, (incoming: IncomingMessage, response: ServerResponse) => void>>
}

export function createSite({ assets, places, doors }: SiteOptions): Site {
  const placeOf = (path: string): Readonly<{ name: string; place?: Place; rest: string }> => {
    const slash = path.indexOf('/')
    const name = slash === -1 ? path : path.slice(0, slash)
    const place = Object.hasOwn(places, name) ? places[name] : undefined
    return { name, rest: slash === -1 ? '' : path.slice(slash + 1), ...(place !== undefined && { place }) }
  }
  return {
    async request(path, incoming, response) {
      const { name, place, rest } = placeOf(path)
      if (place) {
        if (name === path) return redirect(response, `${name}/`)
        return await place.request(rest, incoming, response)
      }
      const door = Object.hasOwn(doors, path) ? doors[path] : undefined
      if (door) return door(incoming, response)
      const asset = name === 'static' ? await assets.find(rest) : undefined
      if (!asset) return refuse(response, 404, 'Not found.')
      if (incoming.method === 'GET' || incoming.method === 'HEAD') return sendAsset(asset, incoming, response)
      refuse(response, 405, 'Only GET and HEAD here.', { Allow: 'GET, HEAD' })
    },
    async upgrade(path, incoming, socket, head) {
      const { place, rest } = placeOf(path)
      if (!place) return refuse(responseOn(incoming, socket), 404, 'Not found.')
      await place.upgrade(rest, incoming, socket, head)
    },
    close() {
      for (const place of Object.values(places)) place.close()
    },
  }
}
