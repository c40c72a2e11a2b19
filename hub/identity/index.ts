/** Who you are: logins through OpenID Connect providers, the hub's own table of logins, API tokens. */
import { hkdfSync } from 'node:crypto'
import type { Router } from '@koa/router'
import type { Middleware } from 'koa'
import type { Kysely } from 'kysely'
import type { Registry } from 'prom-client'
import type { Configuration } from '../../config/schema.ts'
import type { Log } from '../../spawners/spawner.ts'
import type { Audit } from '../audit/index.ts'
import type { Catalogue, RouteTable, Visitor } from '../domain/services.ts'
import { type Access, createAccess } from '../roles/access.ts'
import { createGroups } from '../roles/groups.ts'
import { createRoleMembers } from '../roles/members.ts'
import type { Tables } from '../store/schema.ts'
import type { Writer } from '../store/writer.ts'
import { type Authorisation, createAuthorisation } from './authorisation.ts'
import { cookieRules } from './cookies.ts'
import { type Authenticator, createFormProvider } from './forms/form.ts'
import { createLinkRequests, type LinkRequests } from './link-requests.ts'
import { createLinks, type Links } from './links.ts'
import { createLogins, type Logins } from './logins.ts'
import { createLoginMetrics } from './metrics.ts'
import { createOutsiders, type Outsiders } from './outsiders.ts'
import { type LoginPage, plainLoginPage, plainRenewedPage, type RenewedPage } from './pages.ts'
import { createSteps } from './passport.ts'
import { createOwnTokens, type OwnTokens } from './own-tokens.ts'
import { createPendingLogins } from './pending.ts'
import { createProvider, type Provider } from './provider.ts'
import { createProviders, type Providers } from './providers.ts'
import { createRefresher, type Refresher } from './refresher.ts'
import { loginRoutes } from './routes.ts'
import { createSeal } from './seal.ts'
import { createSignIn } from './sign-in.ts'
import { createSignOut } from './sign-out.ts'
import { createServerTokens, type ServerTokens } from './server-tokens.ts'
import { createServiceTokens } from './service-tokens.ts'
import { createTokens, type Tokens } from './tokens.ts'
import { createTakenOnce } from './taken-once.ts'
import { createUsers, type MatchIdentity } from './users.ts'
import { visitorMiddleware } from './visitor.ts'
import { createVouching, type Vouching } from './vouching.ts'
import type { DemoProvider } from './demo/index.ts'

export interface IdentityOptions {
  readonly db: Kysely<Tables>
  readonly catalogue: Pick<Catalogue, 'proposals' | 'entitled'>
  readonly writer: Pick<Writer, 'note' | 'write'>
  readonly configuration: Pick<
    Configuration,
    'hub' | 'access' | 'login' | 'environments' | 'roles' | 'groups' | 'services'
  >
  readonly publicUrl: URL
  readonly secrets: IdentitySecrets
  readonly routes: Pick<RouteTable, 'revoke'>
  readonly audit: Pick<Audit, 'write' | 'note' | 'within'>
  readonly now: () => Date
  readonly newId: () => string
  readonly log: Log
  readonly fetch: typeof fetch
  readonly metrics: Registry
  /** With configuration.login.demo: what createDemoProvider made. */
  readonly demo?: DemoProvider
  /** Absent: a plain one. */
  readonly loginPage?: LoginPage
  readonly renewedPage?: RenewedPage
  /** Who checks what is typed into forms, by the login's short name. */
  readonly authenticators?: Readonly<Record<string, Authenticator>>
  /** The facility's own way to know an outside identity. */
  readonly matchIdentity?: MatchIdentity
}

interface IdentitySecrets {
  /** At least 32 random bytes, the same for all hubs of a database; kept over restarts. */
  readonly loginKey: Buffer
  /** By the provider's short name; none for a public client. */
  readonly clientSecrets: Readonly<Record<string, string>>
  /** From which the tokens of environments are derived; 32 bytes, as loginKey. */
  readonly serversKey: Buffer
  /** API tokens of services, by name. */
  readonly serviceTokens: Readonly<Record<string, string>>
}

export interface Identity {
  /** Sets ctx.state.visitor and refuses foreign origins; before the routes. */
  readonly middleware: Middleware
  readonly router: Router
  readonly tokens: Tokens
  readonly logins: Logins
  readonly linking: Linking
  readonly authorisation: Authorisation
  /** Not started. */
  readonly refresher: Refresher
  readonly access: Access
  readonly vouching: Vouching
  readonly serverTokens: ServerTokens
  readonly ownTokens: OwnTokens
  /** Whether a login or token that was good a while ago still is: for streams that stay open. */
  readonly stillValid: (visitor: Visitor) => Promise<boolean>
}

/** What the pages and the API of linking need. */
export interface Linking {
  readonly links: Links
  readonly requests: LinkRequests
  readonly outsiders: Outsiders
  readonly providers: Providers
}

const demoProviderName = 'demo'

/** Throws when the configured providers contradict each other. Asks nobody yet: discovery is lazy. */
export function createIdentity(options: IdentityOptions): Identity {
  const { db, writer, configuration, publicUrl, secrets, routes, audit, newId, log } = options
  const now = (): number => options.now().getTime()
  const { contact, title } = configuration.hub
  const providers = createProviders([
    ...configured(options, now),
    ...forms(options, now),
    ...demoProvider(options, now),
  ])
  const rules = cookieRules(publicUrl, configuration.environments.hosts !== undefined)
  const { lifetime: lifetimeMs, idle: idleMs } = configuration.login
  const derive = (purpose: string): Buffer => Buffer.from(hkdfSync('sha256', secrets.loginKey, '', purpose, 32))
  const seal = createSeal(derive('hutch provider tokens'))
  const pending = createPendingLogins({ key: derive('hutch pending logins'), rules, now })
  const vouching = createVouching({ db, providers })
  const logins = createLogins({ db, writer, providers, vouching, routes, seal, lifetimeMs, idleMs, now, newId })
  const serverTokens = createServerTokens(secrets.serversKey)
  const tokens = createTokens({ db, vouching, serverTokens, routes, now, newId })
  const access = createAccess({
    configuration,
    groups: createGroups({ db, configuration, now }),
    members: createRoleMembers({ db, now }),
  })
  const services = createServiceTokens(secrets.serviceTokens)
  const links = createLinks({ db, providers, logins, audit, contact, now })
  const keepMs = configuration.login.linkRequests
  const requests = createLinkRequests({ db, links, providers, audit, contact, keepMs, now, newId })
  const outsiders = createOutsiders({ key: derive('hutch outsiders'), rules, providers, now })
  const { matchIdentity } = options
  const users = createUsers({
    db,
    writer,
    providers,
    links,
    ...(matchIdentity ? { matchIdentity } : {}),
    contact,
    now,
    newId,
  })
  const authorisation = createAuthorisation({
    db,
    configuration: configuration.access,
    providers,
    vouching,
    access,
    catalogue: options.catalogue,
    contact,
  })
  const refresher = createRefresher({ db, providers, logins, seal, audit, now, log })
  const ownTokens = createOwnTokens({ db, providers, refresher, seal, now })
  const taken = createTakenOnce(db, now)
  const metrics = createLoginMetrics(options.metrics)
  const steps = createSteps(providers, publicUrl)
  const router = loginRoutes({
    providers,
    signIn: createSignIn({
      steps,
      pending,
      authorisation,
      providers,
      users,
      outsiders,
      logins,
      rules,
      metrics,
      audit,
      log,
      now,
    }),
    signOut: createSignOut({ providers, logins, rules, publicUrl, taken, audit, log }),
    loginPage: options.loginPage ?? plainLoginPage(title),
    renewedPage: options.renewedPage ?? plainRenewedPage,
    demo: options.demo !== undefined,
    metrics,
    audit,
    log,
  })
  const middleware = visitorMiddleware({
    logins,
    tokens,
    services,
    access,
    rules,
    publicOrigin: publicUrl.origin,
    contact,
  })
  const stillValid = (visitor: Visitor): Promise<boolean> =>
    (visitor.by === 'cookie' ? logins : tokens).stillValid(visitor.login)
  const linking = { links, requests, outsiders, providers }
  return {
    middleware,
    router,
    tokens,
    logins,
    linking,
    refresher,
    authorisation,
    access,
    vouching,
    serverTokens,
    ownTokens,
    stillValid,
  }
}

function configured({ configuration, secrets, fetch }: IdentityOptions, now: () => number): Provider[] {
  return Object.entries(configuration.login.providers).map(([name, configuration]) => {
    const clientSecret = secrets.clientSecrets[name]
    return createProvider({ name, configuration, fetch, now, ...(clientSecret === undefined ? {} : { clientSecret }) })
  })
}

function forms({ configuration, authenticators = {} }: IdentityOptions, now: () => number): Provider[] {
  return Object.entries(configuration.login.passwords).map(([name, configuration]) => {
    const authenticator = authenticators[name]
    if (authenticator === undefined) throw new Error(`login.passwords.${name}: nobody was made who checks them`)
    return createFormProvider({ name, configuration, authenticator, now })
  })
}

function demoProvider({ demo }: IdentityOptions, now: () => number): Provider[] {
  if (!demo) return []
  const configuration = {
    title: 'Demo people',
    issuer: demo.issuer,
    clientId: demo.client.id,
    scopes: ['openid', 'profile', 'email'],
    claims: { name: 'preferred_username', title: 'name', email: 'email', groups: 'groups', subject: 'sub' },
    administrators: [],
    refresh: 600_000,
  }
  const { fetch, client } = demo
  return [createProvider({ name: demoProviderName, configuration, clientSecret: client.secret, fetch, now })]
}
