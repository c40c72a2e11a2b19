/** A hub that does nothing but know who somebody is: a real Koa, a real SQLite, the identity part as main makes it. */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ExecutionContext } from 'ava'
import { bodyParser } from '@koa/bodyparser'
import Koa from 'koa'
import type { Kysely } from 'kysely'
import { Registry } from 'prom-client'
import type { Configuration } from '../../config/schema.ts'
import { createAudit } from '../../hub/audit/index.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type { Catalogue } from '../../hub/domain/services.ts'
import { createDemoProvider, type DemoProvider } from '../../hub/identity/demo/index.ts'
import type { Authenticator } from '../../hub/identity/forms/form.ts'
import { createIdentity, type Identity } from '../../hub/identity/index.ts'
import { identitiesRouter } from '../../hub/http/identities.ts'
import { linkApiRouter } from '../../hub/http/link-api.ts'
import { createPages } from '../../hub/http/pages.ts'
import { createWeb } from '../../hub/web/render.ts'
import { openStore } from '../../hub/store/index.ts'
import type { MatchIdentity } from '../../hub/identity/users.ts'
import type { Tables } from '../../hub/store/schema.ts'
import type { Revocation } from '../../proxy/feed.ts'
import type { Log } from '../../spawners/spawner.ts'
import { temporaryFolder } from './temporary.ts'
import { startProvider, type TestProvider } from './oidc.ts'

export interface TestHub {
  readonly url: string
  readonly db: Kysely<Tables>
  readonly identity: Identity
  readonly demo?: DemoProvider
  /** What the proxies were told. */
  readonly revocations: Revocation[]
  /** While true, telling them fails. */
  readonly faults: { revoke: boolean }
  /** Why logins were refused, in order. */
  readonly refusals: string[]
  /** What people did not see: every line of the log. */
  readonly lines: object[]
  readonly clock: Clock
  /** Another hub on the same database, as after a restart. */
  restart(): void
}

const noCatalogue: Pick<Catalogue, 'proposals' | 'entitled'> = {
  proposals: () => Promise.resolve({ items: [], total: 0 }),
  entitled: () => Promise.resolve([]),
}

interface Clock {
  /** Added to the real time, ms. */
  offsetMs: number
}

export interface TestHubOptions {
  /** Made when the hub's own address is known. */
  readonly providers?: (hub: string) => Promise<Readonly<Record<string, TestProvider>>>
  readonly configurations?: (made: Readonly<Record<string, TestProvider>>) => Configuration['login']['providers']
  readonly login?: Partial<Configuration['login']>
  readonly demoFolder?: string
  /** What browsers see, if it is not the address itself. */
  readonly publicUrl?: string
  readonly hosts?: string
  readonly fetch?: typeof fetch
  readonly access?: Partial<Configuration['access']>
  readonly catalogue?: Pick<Catalogue, 'proposals' | 'entitled'>
  readonly matchIdentity?: MatchIdentity
  readonly authenticators?: Readonly<Record<string, Authenticator>>
  /** Absent: an SQLite database of its own. */
  readonly database?: Configuration['database']
}

export async function startHub(t: ExecutionContext, options: TestHubOptions = {}): Promise<TestHub> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const publicUrl = new URL(options.publicUrl ?? url)
  const made = (await options.providers?.(url)) ?? {}
  const clock: Clock = { offsetMs: 0 }
  const now = () => new Date(Date.now() + clock.offsetMs)
  const stateFolder = await temporaryFolder(t)
  const lines: object[] = []
  const log = recordingLog(lines)
  const store = await openStore(options.database ?? { type: 'sqlite' }, { stateFolder, log, now })
  t.teardown(() => store.close())
  const { db } = store
  const demo =
    options.demoFolder === undefined
      ? undefined
      : await createDemoProvider({ stateFolder: options.demoFolder, publicUrl, listenHost: '127.0.0.1', now, log })
  const audit = createAudit({ store, configuration: { keep: 30 * 86_400_000, keepRefusals: 86_400_000 }, now, log })
  const revocations: Revocation[] = []
  const faults = { revoke: false }
  const loginKey = randomBytes(32)
  const makeIdentity = (): Identity =>
    createIdentity({
      db,
      catalogue: options.catalogue ?? noCatalogue,
      writer: store.writer,
      configuration: {
        hub: { id: 'hutch', title: 'Hutch', contact: 'help@example.org' },
        login: {
          providers: options.configurations?.(made) ?? mapValues(made, (provider) => provider.configuration()),
          passwords: {},
          demo: demo !== undefined,
          lifetime: 7 * 86_400_000,
          idle: 86_400_000,
          warn: 600_000,
          linkRequests: 14 * 86_400_000,
          ...options.login,
        },
        access: { rules: [], otherwise: 'allow', reason: 'Not open', ...options.access },
        roles: {},
        groups: {},
        services: {},
        environments: {
          outliveHub: false,
          keepEnded: 1,
          staffVisits: 3_600_000,
          entitlement: { check: 900_000, grace: 86_400_000 },
          perUser: 10,
          ...(options.hosts === undefined ? {} : { hosts: options.hosts }),
        },
      },
      publicUrl,
      secrets: {
        loginKey,
        clientSecrets: mapValues(made, (provider) => provider.clientSecret),
        serversKey: loginKey,
        serviceTokens: {},
      },
      routes: {
        async revoke(revocation) {
          if (faults.revoke) throw new Error('the proxies can not be told')
          revocations.push(revocation)
        },
      },
      audit,
      now,
      newId: () => randomBytes(10).toString('hex'),
      log,
      fetch: options.fetch ?? fetch,
      metrics: new Registry(),
      ...(demo ? { demo } : {}),
      ...(options.authenticators ? { authenticators: options.authenticators } : {}),
      ...(options.matchIdentity ? { matchIdentity: options.matchIdentity } : {}),
    })
  let identity = makeIdentity()
  let handle = application(identity, now).callback()
  server.on('request', (req, res) => {
    if (demo && req.url?.startsWith(demo.path)) demo.callback(req, res)
    else void handle(req, res)
  })
  return {
    url,
    db,
    get identity() {
      return identity
    },
    ...(demo ? { demo } : {}),
    revocations,
    faults,
    lines,
    get refusals() {
      return lines.flatMap((line) => ('reason' in line ? [String(line.reason)] : []))
    },
    clock,
    restart() {
      identity = makeIdentity()
      handle = application(identity, now).callback()
    },
  }
}

/** A hub with one provider, `site`. */
export async function startHubAndProvider(
  t: ExecutionContext,
  options: Omit<TestHubOptions, 'providers'> = {},
): Promise<{ hub: TestHub; provider: TestProvider }> {
  let provider: TestProvider | undefined
  const hub = await startHub(t, {
    ...options,
    async providers(url) {
      provider = await startProvider(t, { hub: options.publicUrl ?? url, name: 'site' })
      return { site: provider }
    },
  })
  if (!provider) throw new Error('the hub made no provider')
  return { hub, provider }
}

/** GET /hub/who says who asks; POST /hub/change counts. Problems as JSON. */
function application(identity: Identity, now: () => Date): Koa {
  const app = new Koa({ proxy: true, maxIpsCount: 1 })
  app.use(async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      if (!(error instanceof Problem)) {
        ctx.status = 500
        return
      }
      ctx.status = error.status
      if (error.retryAfter !== undefined) ctx.set('Retry-After', String(error.retryAfter))
      ctx.body = { type: error.type, detail: error.detail }
    }
  })
  app.use(identity.middleware)
  app.use(identity.router.routes())
  app.use(bodyParser())
  const pages = createPages(createWeb({ hub: { title: 'Hutch', contact: 'help@example.org' }, warnMs: 600_000, now }))
  app.use(identitiesRouter({ linking: identity.linking, pages, now }).routes())
  app.use(linkApiRouter(identity.linking).routes())
  app.use((ctx) => {
    if (!ctx.path.startsWith('/hub/')) return
    ctx.body = { visitor: ctx.state['visitor'] ?? null }
  })
  return app
}

function recordingLog(lines: object[]): Log {
  const write = (fields: object, message: string) => void lines.push({ ...fields, message })
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log }
  return log
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}
