/** Where a request may go. No effects and no round trip: everything is in the tables and in the request. */
import type { Forward, Decision, Failure, Gate } from '../forward/forwarding.ts'
import type { Pool } from '../forward/pool.ts'
import type { Request } from '../forward/request.ts'
import type { Route } from '../feed.ts'
import { redirect, type Answer } from '../http/answer.ts'
import { isReservedCookie } from '../http/cookies.ts'
import { single } from '../http/head.ts'
import { isPlainPath } from '../http/path.ts'
import { problemAnswer, type ProxyProblem } from '../pages.ts'
import type { Pools, Tables } from '../tables.ts'
import type { Entry } from '../ticket.ts'
import {
  askForTicket,
  enter,
  enterPath,
  fits,
  longestFormBytes,
  nonceCookie,
  renewedPath,
  type Entering,
} from './enter.ts'
import { entryCookie, type Entries } from './entries.ts'
import { changesState, isForeign, isNavigation } from './origin.ts'
import { overridesMethod, viewOf } from './viewers.ts'

export interface GateOptions {
  readonly publicUrl: URL
  /** Host names of environments, such as {user}.envs.example.org; undefined: the hub's own. */
  readonly hosts: string | undefined
  readonly tables: Tables
  readonly pools: Pools
  readonly hub: Pool
  /** Programs of the facility by name, each below /services/NAME/: they check for themselves who comes. */
  readonly services: Readonly<Record<string, Pool>>
  readonly entries: Entries
  readonly entering: Entering
  readonly active: (id: string) => void
}

export function createGate(options: GateOptions): Gate {
  const { publicUrl, tables, pools, entries, entering } = options
  const publicHost = publicUrl.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const base = publicUrl.pathname.endsWith('/') ? publicUrl.pathname : `${publicUrl.pathname}/`
  const isEnvironmentHost = hostPattern(options.hosts)
  const toHub: Forward = {
    do: 'forward',
    pool: options.hub,
    request: { dropCookie: (name) => name === entryCookie || name === nonceCookie, passAuthorization: true, extra: '' },
    response: { prefix: undefined },
  }
  const services = new Map(
    Object.entries(options.services).map(([name, pool]): [string, Forward] => {
      const request = { dropCookie: isReservedCookie, passAuthorization: true, extra: '' }
      return [name, { do: 'forward', pool, request, response: { prefix: `${base}services/${name}/` } }]
    }),
  )
  return { decide, explain }

  function decide(request: Request): Decision {
    const { host, path } = request
    const onHub = host === publicHost
    if (!onHub && !isEnvironmentHost(host) && !tables.routes.hasHost(host)) {
      const link = { text: 'Go there', href: publicUrl.href }
      return no(request, 'unknownHost', `The address of this installation is ${publicUrl.href}`, link)
    }
    if (!isPlainPath(path)) return no(request, 'badRequest', 'The path holds what could be read in two ways.')
    const isHubs = path.startsWith(`${base}hub/`) || path === `${base}hub`
    if (onHub && isHubs) {
      return changesState(request) && isForeign(request, publicUrl) ? foreign(request) : toHub
    }
    if (onHub && path.startsWith(`${base}services/`)) return toService(request)
    if (path === base || path === '/') return answer(redirect(`${publicUrl.origin}${base}hub/home`))
    const route = tables.routes.find(onHub ? null : host, path)
    return route === undefined ? noRoute(request, onHub) : toRoute(request, route)
  }

  function toService(request: Request): Decision {
    const [name = '', ...rest] = request.path.slice(`${base}services/`.length).split('/')
    const forward = services.get(name)
    if (forward === undefined) return no(request, 'notFound', 'There is no service of this name.')
    if (rest.length === 0) return answer(redirect(`${base}services/${name}/${request.query}`))
    const hasToken = single(request.head, 'authorization') !== undefined
    return !hasToken && changesState(request) && isForeign(request, publicUrl) ? foreign(request) : forward
  }

  function noRoute(request: Request, onHub: boolean): Decision {
    const withSlash = tables.routes.find(onHub ? null : request.host, `${request.path}/`)
    if (withSlash?.prefix === `${request.path}/` && isNavigation(request)) {
      return answer(redirect(withSlash.prefix + request.query))
    }
    if (request.path.startsWith(`${base}user/`) && isNavigation(request)) {
      return answer(redirect(openUrl(request)))
    }
    const home = { text: 'To your home page', href: `${publicUrl.origin}${base}hub/home` }
    return no(request, 'notFound', 'No environment answers here. It may have been stopped.', home)
  }

  function notYours(request: Request): Decision {
    const home = { text: 'To your home page', href: `${publicUrl.origin}${base}hub/home` }
    return no(request, 'notYours', 'It belongs to somebody else, or what let you in has ended.', home)
  }

  function toRoute(request: Request, route: Route): Decision {
    // Of _hutch/ this alone is the proxy's; the rest, such as the terminal, is the agent's.
    if (request.path === route.prefix + enterPath) return atDoor(request, route)
    const found = entries.find(request, route.id)
    // What needs a header that page code of another site can't send is not forged by it.
    const isAmbient = found?.by !== 'token'
    if (isAmbient && isForeign(request, publicUrl) && !isNavigation(request) && request.method !== 'OPTIONS') {
      return foreign(request)
    }
    if (found === undefined || tables.revocations.isRevoked(found.entry)) return notEntered(request, route)
    const { entry, by } = found
    if (!fits(entry, route)) return notYours(request)
    const view = entry.role === 'viewer' ? viewOf(request, route) : undefined
    if (entry.role === 'viewer' && view === undefined) return no(request, 'forbidden', 'You may only look here.')
    return {
      do: 'forward',
      pool: pools.of(route),
      request: {
        dropCookie: isReservedCookie,
        // Images made for JupyterHub check tokens of their own; behind an agent nobody needs one.
        passAuthorization: route.target.kind === 'http' && by === 'cookie' && view === undefined,
        ...(view === undefined ? {} : { drop: overridesMethod }),
        extra: whoEnters(entry),
      },
      response: { prefix: route.prefix },
      route,
      entry,
      ...(view === 'listen' ? { listensOnly: true } : {}),
      // Its owner's use, and that of guests, keeps it; who looks on, or is of the staff, is not its user.
      ...(entry.role === 'owner' || entry.role === 'guest' ? { active: () => options.active(route.id) } : {}),
    }
  }

  function atDoor(request: Request, route: Route): Decision {
    if (request.method !== 'POST') {
      // After its login was renewed, a browser that is in asks for an entry that lasts as long.
      const isAgain = request.query === '?again' && isNavigation(request)
      return answer(isAgain ? askForTicket(request, route, publicUrl, base, renewedPath) : redirect(route.prefix))
    }
    const found = entries.find(request, route.id)
    const isIn = found !== undefined && fits(found.entry, route) && !tables.revocations.isRevoked(found.entry)
    return {
      do: 'collect',
      mostBytes: longestFormBytes,
      answer: (body) => enter(request, route, body, entering, isIn),
    }
  }

  function notEntered(request: Request, route: Route): Decision {
    if (isNavigation(request)) return answer(askForTicket(request, route, publicUrl, base))
    return no(request, 'notEntered', `Open ${publicUrl.origin}${base}hub/home and enter from there.`)
  }

  /** The hub's page for whatever should answer here: it starts it, or says why not, and leads back. */
  function openUrl(request: Request): string {
    const query = new URLSearchParams({ next: request.path + request.query })
    return `${publicUrl.origin}${base}hub/open?${query.toString()}`
  }

  function explain(request: Request, { route }: Forward, failure: Failure): Answer {
    const again = { text: 'Try again', href: request.path + request.query }
    switch (failure.is) {
      case 'garbled':
        return problemAnswer(request, 'garbled', 'Try again; if it stays, stop it and start it anew.', again)
      case 'timeout':
        return problemAnswer(request, 'timeout', 'It may be very busy. Try again in a while.', again)
      case 'full':
        return problemAnswer(request, 'busy', 'Try again in a moment.', again)
      case 'unreachable':
      case 'closed':
        if (request.path.startsWith(`${base}services/`)) {
          return problemAnswer(
            request,
            'environmentUnreachable',
            'This service may be starting, or was stopped.',
            again,
          )
        }
        return route === undefined
          ? problemAnswer(request, 'hubUnreachable', 'Environments that are open go on. Try again in a minute.', again)
          : problemAnswer(
              request,
              'environmentUnreachable',
              'It may be starting, or its computer can not be reached.',
              {
                text: 'See what the hub knows of it',
                href: openUrl(request),
              },
            )
    }
  }
}

function answer(whole: Answer): Decision {
  return { do: 'answer', answer: whole }
}

function no(request: Request, type: ProxyProblem, detail: string, link?: { text: string; href: string }): Decision {
  return { do: 'answer', answer: problemAnswer(request, type, detail, link), cause: type }
}

function foreign(request: Request): Decision {
  return no(request, 'foreignOrigin', 'Open the page from its own address.')
}

function whoEnters({ user, role, expiresAt }: Entry): string {
  const login = `X-Hutch-Until: ${Math.floor(expiresAt)}\r\n`
  return `X-Hutch-User: ${encodeURIComponent(user.name)}\r\nX-Hutch-Role: ${role}\r\n${login}`
}

/** {user}.envs.example.org → whether a host is one of these. */
function hostPattern(hosts: string | undefined): (host: string) => boolean {
  if (hosts === undefined) return () => false
  const [before = '', after = ''] = hosts.toLowerCase().split('{user}', 2)
  return (host) =>
    host.length > before.length + after.length &&
    host.startsWith(before) &&
    host.endsWith(after) &&
    /^[a-z0-9-]+$/.test(host.slice(before.length, host.length - after.length))
}
