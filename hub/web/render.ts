/** Templates to HTML. Everything that a template prints with <%= is escaped; nothing here knows of HTTP. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Eta } from 'eta'
import { formatBytes, formatCores, formatDay, formatDuration, formatMoment, formatRelative } from '../domain/format.ts'

export type PageName =
  | 'login'
  | 'home'
  | 'launch'
  | 'proposal'
  | 'waiting'
  | 'enter'
  | 'open'
  | 'error'
  | 'sessions'
  | 'tokens'
  | 'logout'
  | PeoplePage
  | QuotaPage
  | SharingPage
type QuotaPage = 'usage' | 'limits' | 'records' | 'time'
type SharingPage = 'sharing' | 'guest' | 'reason' | 'accept-share'
type PeoplePage = 'password' | 'people' | 'link' | 'identities' | 'link-requests' | 'renewed'
/** A part of a page that a script fetches to bring it up to date. */
export type PartName = 'parts/environments' | 'parts/proposal-choices' | 'parts/offers'

export interface Asset {
  readonly body: Buffer
  readonly type: string
  readonly hash: string
}

export interface Web {
  render(name: PageName | PartName, data: object): string
  /** By file name. */
  readonly assets: ReadonlyMap<string, Asset>
}

/** The one style sheet, in this order: later rules win. */
const styles = 'base frame parts home dialogue launch waiting login adapting linking limits'.split(' ')

const types: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}

interface WebOptions {
  readonly hub: { title: string; contact: string }
  /** How long before a login ends the pages say so. */
  readonly warnMs: number
  readonly now: () => Date
}

/** Reads the assets once; templates are compiled at their first use and kept. */
export function createWeb({ hub, warnMs, now }: WebOptions): Web {
  const assets = new Map([...readAssets(join(import.meta.dirname, 'assets')), ['hutch.css', readStyles()]])
  const eta = new Eta({ views: join(import.meta.dirname, 'views'), cache: true, autoTrim: [false, 'nl'] })
  const helpers = {
    asset: (name: string) => `/hub/assets/${name}?v=${assets.get(name)?.hash ?? 'missing'}`,
    bytes: formatBytes,
    cores: formatCores,
    day: formatDay,
    duration: formatDuration,
    moment: formatMoment,
    relative: (at: Date) => formatRelative(at, now()),
    isSoon: (at: Date) => at.getTime() - now().getTime() < warnMs,
    plural: (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`,
  }
  return {
    assets,
    render: (name, data) => eta.render(name, { hub, warnMs, visitor: undefined, page: name, ...data, h: helpers }),
  }
}

function readAssets(folder: string): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>()
  for (const name of readdirSync(folder)) {
    const type = types[name.slice(name.lastIndexOf('.') + 1)]
    if (type === undefined) continue
    assets.set(name, asset(readFileSync(join(folder, name)), type))
  }
  return assets
}

function readStyles(): Asset {
  const folder = join(import.meta.dirname, 'styles')
  const texts = styles.map((name) => readFileSync(join(folder, `${name}.css`)))
  return asset(Buffer.concat(texts), 'text/css; charset=utf-8')
}

function asset(body: Buffer, type: string): Asset {
  return { body, type, hash: createHash('sha256').update(body).digest('base64url').slice(0, 12) }
}
