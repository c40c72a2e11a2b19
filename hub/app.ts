/** The hub as one Koa application: middleware in order. Opens nothing and keeps nothing; hub/main.ts listens. */
import { randomBytes } from 'node:crypto'
import type { Router } from '@koa/router'
import Koa, { type Middleware } from 'koa'
import type { Registry } from 'prom-client'
import type { Configuration } from '../config/schema.ts'
import type { HomeStorage } from './accounts/home-storage.ts'
import type { Archive } from './archive/index.ts'
import type { Audit } from './audit/index.ts'
import type { Log } from '../spawners/spawner.ts'
import type { Catalogue, Environments, Launches, Visitor } from './domain/services.ts'
import { auditRefusals } from './http/audit-refusals.ts'
import { apiRouter } from './http/api.ts'
import { assets } from './http/assets.ts'
import { body } from './http/body.ts'
import { enterRouter } from './http/enter.ts'
import { errors } from './http/errors.ts'
import { eventsRouter } from './http/events.ts'
import { securityHeaders } from './http/headers.ts'
import { health } from './http/health.ts'
import { identitiesRouter } from './http/identities.ts'
import { linkApiRouter } from './http/link-api.ts'
import { createHomes, rescueRouter } from './http/full-home.ts'
import { homeRouter } from './http/home.ts'
import { jupyterHubRouter } from './http/jupyterhub/index.ts'
import type { Operation } from './http/jupyterhub/operation.ts'
import { jupyterHubPages } from './http/jupyterhub-pages.ts'
import { launchRouter } from './http/launch.ts'
import { metrics, requestMetrics } from './http/metrics.ts'
import { ownEnvironments } from './http/own-environments.ts'
import { createPages } from './http/pages.ts'
import { proposalRouter } from './http/proposal.ts'
import { quotaApiRouter, quotaPagesRouter } from './http/quota.ts'
import { recordsApiRouter, recordsPagesRouter, type ReadRecords } from './http/records.ts'
import { peopleApiRouter, peopleRouter } from './http/people.ts'
import { requestLog } from './http/request-log.ts'
import { sessionsRouter } from './http/sessions.ts'
import { sharingRouter } from './http/sharing.ts'
import { visitsApiRouter } from './http/visits-api.ts'
import { timeApiRouter, timeRouter } from './http/time.ts'
import { tokensRouter } from './http/tokens.ts'
import { browsersOnly } from './http/visitor.ts'
import { waitingRouter } from './http/waiting.ts'
import type { Authorisation } from './identity/authorisation.ts'
import type { Linking } from './identity/index.ts'
import { ownerOf } from './launch/extend.ts'
import type { Quota } from './quota/index.ts'
import type { Requests } from './quota/requests.ts'
import type { Logins } from './identity/logins.ts'
import type { Block } from './http/people.ts'
import type { People } from './identity/people.ts'
import type { Grantees } from './sharing/grantees.ts'
import type { Sharing } from './sharing/index.ts'
import type { Tokens } from './identity/tokens.ts'
import { environmentOrigin } from './web/environment-url.ts'
import { createWeb } from './web/render.ts'

export interface AppOptions {
  readonly configuration: Configuration
  /** What browsers see; path, query and fragment don't matter. */
  readonly publicUrl: URL
  readonly identity: {
    /** Refuses what is forged or foreign, and sets `ctx.state.visitor`. */
    readonly middleware: Middleware
    readonly router: Router
    /** Whether a login or token that was good a while ago still is. */
    readonly stillValid: (visitor: Visitor) => Promise<boolean>
    readonly logins: Pick<Logins, 'list' | 'revoke'>
    readonly linking: Linking
    readonly authorisation: Pick<Authorisation, 'require'>
    readonly tokens: Pick<Tokens, 'create' | 'list' | 'revoke'>
  }
  readonly environments: Environments
  readonly launches: Launches
  readonly quota: Quota
  readonly requests: Requests
  readonly records: ReadRecords
  readonly homeStorage: HomeStorage
  readonly catalogue: Catalogue
  readonly archive: Archive
  readonly audit: Pick<Audit, 'write' | 'note'>
  readonly sharing: Sharing
  readonly grantees: Grantees
  readonly people: Pick<People, 'find' | 'page'>
  readonly block: Block
  /** JupyterHub's API. */
  readonly operations: readonly Operation[]
  /** 32 bytes, shared with the proxy (proxy/ticket.ts). */
  readonly admissionKey: Buffer
  readonly registry: Registry
  /** What everybody should know now, one sentence each: a component that is being set up or is missing. */
  readonly setup: () => readonly string[]
  readonly log: Log
  /** Between the heartbeats of event streams; default 15 s. */
  readonly heartbeatMs?: number
  readonly now: () => Date
  readonly newId: () => string
}

/** Whoever guessed one could use up the ticket; newId may be made for reading, not for secrecy. */
const newTicketId = (): string => randomBytes(16).toString('base64url')

export function createApp(options: AppOptions): Koa {
  const {
    configuration,
    publicUrl,
    identity,
    environments,
    launches,
    catalogue,
    audit,
    registry,
    admissionKey,
    log,
    now,
    newId,
    sharing,
    heartbeatMs = 15_000,
  } = options
  const web = createWeb({ hub: configuration.hub, warnMs: configuration.login.warn, now })
  const pages = createPages(web)
  const own = ownEnvironments({
    environments,
    audit,
    configuration,
    publicUrl,
    boundsOf(environment) {
      const owner = ownerOf(environment)
      return {
        idleMs: options.quota.idleMs(owner),
        longestMs: options.quota.longestMs(owner),
        extension: launches.extension(environment),
      }
    },
    now,
  })
  const notices = options.setup
  const homes = createHomes({ configuration, homeStorage: options.homeStorage, quota: options.quota })
  const originOf = (owner: string): string => environmentOrigin(owner, configuration, publicUrl)
  // The proxy alone reaches the hub. What it says is the browser's address, whatever proxies of the facility are in
  // front; X-Forwarded-For ends with the last of those.
  const app = new Koa({ proxy: true, proxyIpHeader: 'X-Real-IP', maxIpsCount: 1 })
  // Koa reports here what breaks off while an answer is on its way. A browser that leaves is no error.
  app.on('error', (error: NodeJS.ErrnoException) => {
    const left = error.code === 'ERR_STREAM_PREMATURE_CLOSE' || error.code === 'ECONNRESET' || error.code === 'EPIPE'
    log[left ? 'debug' : 'error']({ err: error }, 'an answer was cut short')
  })

  app.use(requestLog({ log, newId }))
  app.use(securityHeaders(publicUrl))
  app.use(requestMetrics(registry))
  app.use(errors({ log, pages }))
  app.use(auditRefusals(audit))
  app.use(health({ environments }))
  app.use(assets(web.assets))
  app.use(identity.middleware)
  app.use(body())
  app.use(metrics(registry))
  use(app, [
    identity.router,
    apiRouter({ environments, own, launches, catalogue }),
    eventsRouter({ environments, own, stillValid: identity.stillValid, log, heartbeatMs }),
    timeApiRouter({ environments, own, launches, now }),
    jupyterHubRouter(options.operations, audit),
    linkApiRouter(identity.linking),
    quotaApiRouter({ quota: options.quota, requests: options.requests, catalogue, homes, log }),
    recordsApiRouter(options.records),
    peopleApiRouter(options.block),
    visitsApiRouter({ configuration, publicUrl, environments, own, sharing }),
  ])
  app.use(browsersOnly())
  use(app, [
    homeRouter({ configuration, publicUrl, environments, own, sharing, catalogue, homes, pages, notices, log }),
    rescueRouter({ configuration, launches }),
    timeRouter({ environments, own, launches, pages, originOf, now }),
    launchRouter({ configuration, own, launches, catalogue, homes, pages, notices, log }),
    proposalRouter({ configuration, catalogue, archive: options.archive, audit, pages, log }),
    waitingRouter({ configuration, publicUrl, environments, own, launches, pages }),
    tokensRouter({ tokens: identity.tokens, audit, pages, now }),
    jupyterHubPages({ pages, environments }),
    quotaPagesRouter({ quota: options.quota, requests: options.requests, catalogue, homes, pages, log }),
    recordsPagesRouter(options.records, pages),
    sessionsRouter({ logins: identity.logins, audit, pages }),
    identitiesRouter({ linking: identity.linking, pages, now }),
    peopleRouter({ configuration, publicUrl, environments, people: options.people, block: options.block, pages }),
    sharingRouter({ configuration, publicUrl, environments, own, sharing, grantees: options.grantees, pages, now }),
    enterRouter({
      configuration,
      publicUrl,
      environments,
      sharing,
      pages,
      authorisation: identity.authorisation,
      audit,
      admissionKey,
      now,
      newId: newTicketId,
    }),
  ])
  // Every router adds to what the path matched; any of them can tell what the path would have allowed.
  app.use(identity.router.allowedMethods())
  return app
}

function use(app: Koa, routers: readonly Router[]): void {
  for (const router of routers) app.use(router.routes())
}
