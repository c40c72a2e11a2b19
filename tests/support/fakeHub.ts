/**
 * The hub's pages and API over services that live in memory, with a login by cookie `fake-user=<name>`. For tests of
 * hub/http and hub/web alone: whatever they should show can be put in place at once.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { Router } from '@koa/router'
import type { ExecutionContext } from 'ava'
import { Registry } from 'prom-client'
import { type Configuration, type ConfigurationInput, configurationSchema } from '../../config/schema.ts'
import { fakeSharing, type SharedThings } from './fakeSharing.ts'
import { fakeQuota, fakeRequests } from './quota.ts'
import { archiveOperations } from '../../hub/http/jupyterhub/archive.ts'
import { type AppOptions, createApp } from '../../hub/app.ts'
import { notOpen } from '../../hub/catalogue/not-open.ts'
import { permissionsOf } from '../../hub/roles/permissions.ts'
import { createLoginPages } from '../../hub/http/login.ts'
import type { Choices, Environment, State } from '../../hub/domain/environment.ts'
import { Problem } from '../../hub/domain/problem.ts'
import type {
  Catalogue,
  Dataset,
  Environments,
  Launches,
  Offer,
  Proposal,
  User,
  Visitor,
} from '../../hub/domain/services.ts'
import type { HomeUse } from '../../hub/accounts/home-storage.ts'
import type { AgentReport } from '../../images/agent/bootstrap.ts'
import { noArchive } from './noArchive.ts'
import { everybody, rememberedAudit, type RememberedAudit } from './audit.ts'
import { type EnvironmentId, isEnvironmentId, type Log } from '../../spawners/spawner.ts'

export interface FakeHub {
  readonly url: string
  readonly admissionKey: Buffer
  readonly environments: FakeEnvironments
  readonly audit: RememberedAudit
  readonly configuration: Configuration
  readonly users: Readonly<Record<string, User>>
  readonly offers: Offer[]
  /** With this proposal the last of them comes first. */
  readonly lastFirstFor: { proposal?: string }
  readonly proposals: Proposal[]
  readonly datasets: Dataset[]
  readonly lines: { level: string; fields: Record<string, unknown>; message: string }[]
  readonly notices: string[]
  /** How full everybody's home is. */
  readonly home: { use: HomeUse | undefined }
  /** Who was kept out, and why, or let in again. */
  readonly blocked: [string, string | null][]
  /** Logins that were ended, in order. */
  readonly revoked: string[]
  readonly tokens: Map<string, { user: string; scopes: readonly string[] }>
  /** Thrown by the next launches, when set. */
  readonly failing: { launch?: unknown; catalogue?: unknown; store?: unknown }
  readonly shared: SharedThings
  /** Ends the person's logins. */
  logOut(name: string): void
}

export async function fakeHub(
  t: ExecutionContext,
  input: Partial<ConfigurationInput> = {},
  more: Partial<AppOptions> = {},
): Promise<FakeHub> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => close(server))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  const url = `http://127.0.0.1:${address.port}`
  const configuration = configurationSchema.parse({ ...fakeConfiguration, ...input })
  const users = {
    alice: user('alice', 'Alice Amberg'),
    bob: user('bob', 'Bob Brandt'),
    ada: user('ada', 'Ada Admin', true),
  }
  const loggedOut = new Set<string>()
  const hub = {
    url,
    admissionKey: randomBytes(32),
    configuration,
    users,
    offers: [...fakeOffers],
    lastFirstFor: {} as FakeHub['lastFirstFor'],
    proposals: [...fakeProposals],
    datasets: [...fakeDatasets],
    lines: [] as FakeHub['lines'],
    notices: [] as string[],
    home: { use: undefined } as FakeHub['home'],
    revoked: [] as string[],
    blocked: [] as [string, string | null][],
    tokens: new Map<string, { user: string; scopes: readonly string[] }>(),
    failing: {} as FakeHub['failing'],
    logOut: (name: string) => void loggedOut.add(name),
  }
  const environments = fakeEnvironments(hub.failing)
  const audit = rememberedAudit()
  const { things: shared, ...sharing } = fakeSharing()
  const catalogue = fakeCatalogue(hub)
  const services: AppOptions = {
    configuration,
    publicUrl: new URL(url),
    identity: fakeIdentity(hub, loggedOut),
    environments,
    launches: fakeLaunches(hub, environments),
    archive: fakeTapes,
    catalogue,
    audit,
    operations: archiveOperations({ catalogue, archive: more.archive ?? fakeTapes }),
    ...sharing,
    people: fakePeople(users),
    block: async (name, reason) => void hub.blocked.push([name, reason]),
    quota: fakeQuota(),
    homeStorage: { of: () => Promise.resolve(hub.home.use) },
    requests: fakeRequests(),
    records: Object.assign(() => Promise.resolve([]), { packages: () => Promise.resolve(undefined) }),
    admissionKey: hub.admissionKey,
    registry: new Registry(),
    setup: () => hub.notices,
    log: fakeLog(hub.lines),
    now: () => new Date(),
    newId: () => randomBytes(9).toString('hex'),
    ...more,
  }
  const handle = createApp(services).callback()
  server.on('request', (request, response) => void handle(request, response))
  return { ...hub, environments, audit, shared }
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

function user(name: string, title: string, admin = false): User {
  return { id: `u-${name}`, name, title, admin }
}

/* Who */

/** Linking has tests of its own, with a real provider. */
const noLinking = {} as AppOptions['identity']['linking']

function fakeIdentity(
  hub: Pick<FakeHub, 'users' | 'tokens' | 'revoked'>,
  loggedOut: ReadonlySet<string>,
): AppOptions['identity'] {
  const visitor = (name: string, by: 'cookie' | 'token', scopes?: readonly string[]): Visitor | undefined => {
    const found = loggedOut.has(name) ? undefined : hub.users[name]
    return (
      found && {
        user: found,
        login: `${by}-${name}`,
        by,
        groups: [],
        expiresAt: new Date(Date.now() + 3_600_000),
        ...(scopes ? { scopes } : {}),
        permissions: permissionsOf(
          scopes ?? (found.admin ? ['read:metrics', 'admin:users', 'admin:servers', 'access:servers'] : []),
        ),
      }
    )
  }
  return {
    linking: noLinking,
    authorisation: everybody,
    async middleware(ctx, next) {
      const token = hub.tokens.get(ctx.get('Authorization').replace(/^Bearer /, ''))
      const name = ctx.cookies.get('fake-user')
      const found = token ? visitor(token.user, 'token', token.scopes) : name ? visitor(name, 'cookie') : undefined
      const changes = ctx.method !== 'GET' && ctx.method !== 'HEAD' && ctx.method !== 'OPTIONS'
      const origin = ctx.get('Origin')
      if (changes && !token && origin !== '' && origin !== `http://${ctx.host}`) {
        throw new Problem('foreignOrigin', 'Open the page itself and try again there.')
      }
      if (found) ctx.state['visitor'] = found
      await next()
    },
    router: fakeLoginPage(),
    logins: {
      list: (userId) => Promise.resolve(fakeLogins.filter(() => userId === 'u-alice')),
      revoke: async (login) => void hub.revoked.push(login),
    },
    tokens: {
      create: async () => ({ id: 'token-1', token: 'hutch_shown-once' }),
      list: async () => [],
      revoke: async () => {},
    },
    stillValid: (given) => Promise.resolve(!loggedOut.has(given.user.name)),
  }
}

function fakeLoginPage(): Router {
  const { loginPage: page } = createLoginPages({
    warnMs: 600_000,
    hub: { title: 'Hutch', contact: 'the scientific computing group' },
    now: () => new Date(),
  })
  const router = new Router()
  router.get('/hub/login', async (ctx) => {
    const error = { title: 'The login did not succeed', detail: 'You cancelled it. Try again when you are ready.' }
    const providers = [
      { id: 'demo', title: 'Demo people' },
      { id: 'umbrella', title: 'UmbrellaID' },
    ]
    const fields = [
      { name: 'name', title: 'User name', secret: false, value: ctx.query['failed'] ? 'alice' : '' },
      { name: 'password', title: 'Password', secret: true, value: '' },
    ]
    const form = {
      action: '/hub/login/site',
      title: 'Facility account',
      fields,
      hidden: { next: '/hub/', for: 'login' },
    }
    await page(ctx, {
      providers,
      demo: true,
      next: '/hub/',
      ...(ctx.query['form'] ? { form } : {}),
      ...(ctx.query['failed'] ? { error } : {}),
    })
  })
  return router
}

function fakePeople(users: FakeHub['users']): AppOptions['people'] {
  const all = Object.values(users).map((user) => ({
    ...user,
    groups: user.name === 'bob' ? ['optics', 'staff'] : [],
    roles: ['user'],
    createdAt: new Date(0),
    lastActivityAt: new Date(Date.now() - 60_000),
    ...(user.name === 'bob' ? { blockedReason: 'Your proposal ended in May' } : {}),
  }))
  return {
    find: (name) => Promise.resolve(all.find((each) => each.name === name)),
    page({ nameContains = '' }) {
      const items = all.filter(({ name }) => name.includes(nameContains))
      return Promise.resolve({ items, total: items.length })
    },
  }
}

/* Environments */

interface FakeEnvironments extends Environments {
  /** Puts an environment in place, or changes it; the rest is made up. */
  put(change: Partial<Omit<Environment, 'id'>> & { id: string }): Environment
  use(id: string, usage: AgentReport['usage']): void
  usualMs: number | undefined
  readonly subscribers: number
}

function fakeEnvironments(failing: FakeHub['failing']): FakeEnvironments {
  const rows = new Map<EnvironmentId, Environment>()
  const usages = new Map<string, AgentReport['usage']>()
  const listeners = new Set<{ userId: string; changed: (id: EnvironmentId) => void }>()
  const store = (): void => {
    if (failing.store !== undefined) throw failing.store
  }
  const put: FakeEnvironments['put'] = ({ id, ...change }) => {
    if (!isEnvironmentId(id)) throw new Error('this is not an id')
    const row = { ...(rows.get(id) ?? fakeEnvironment(id)), ...change, id }
    rows.set(id, row)
    for (const { userId, changed } of listeners) if (userId === row.userId) changed(id)
    return row
  }
  const fake: FakeEnvironments = {
    put,
    usualMs: 6_200,
    get subscribers() {
      return listeners.size
    },
    use: (id, usage) => void usages.set(id, usage),
    launch: () => Promise.reject(new Error('fakeLaunches puts rows in place')),
    extend: () => Promise.reject(new Error('nothing is made longer here')),
    get: async (id) => {
      store()
      return rows.get(id)
    },
    find: async (name, server) => [...rows.values()].find((each) => each.owner === name && each.server === server),
    live: (userId) =>
      [...rows.values()].filter((each) => each.state.is !== 'ended' && (userId ?? each.userId) === each.userId),
    list: async (userId, { endedSince, limit }) => {
      store()
      return [...rows.values()]
        .filter((each) => each.userId === userId && (each.state.is !== 'ended' || each.state.at >= endedSince))
        .toSorted((a, b) => rank(a) - rank(b) || b.requestedAt.getTime() - a.requestedAt.getTime())
        .slice(0, limit)
    },
    stop: async (id) => {
      const state: State = { is: 'ended', reason: 'cancelled', message: 'You stopped it.', at: new Date(), log: '' }
      put({ id, state })
    },
    forget: async (id) => {
      if (rows.get(id)?.state.is !== 'ended') throw new Problem('conflict', 'It is still running. Stop it first.')
      rows.delete(id)
    },
    rename: async (id, title) => void put({ id, title }),
    reported: async () => {},
    queued: () => undefined,
    active: async () => {},
    subscribe(userId, changed) {
      const listener = { userId, changed }
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    usualStartMs: async () => fake.usualMs,
    usage: (id) => usages.get(id),
  }
  return fake
}

const rank = (each: Environment): number => (each.state.is === 'ended' ? 1 : 0)

export function fakeEnvironment(id: EnvironmentId, owner = 'alice'): Environment {
  return {
    id,
    userId: `u-${owner}`,
    owner,
    server: id,
    title: `Notebook ${id}`,
    spawner: 'local',
    profile: 'notebook',
    flavour: 'small',
    proposals: [],
    groups: [],
    extensions: [],
    choices: { profile: 'notebook', flavour: 'small', proposals: [] },
    spec: {
      id,
      hub: 'hutch',
      owner,
      prefix: `/user/${owner}/${id}/`,
      account: { name: owner, uid: 1_000, gid: 1_000, groups: [], home: `/home/${owner}`, shell: '/bin/bash' },
      application: { kind: 'notebook', argv: [], readyPath: 'api', landingPath: 'lab' },
      resources: { cpu: 2, memoryBytes: 4 * 2 ** 30, gpus: 0 },
      variables: {},
      mounts: [],
      profile: {},
      digest: '0'.repeat(64),
    },
    wanted: { is: 'present' },
    state: { is: 'ready' },
    requestedAt: new Date(Date.now() - 60_000),
  }
}

/* Launch and catalogue */

function fakeLaunches(
  hub: Pick<FakeHub, 'offers' | 'lastFirstFor' | 'failing'>,
  environments: FakeEnvironments,
): Launches {
  let count = 0
  return {
    describe: () => [],
    backendLimits: () => Promise.resolve([]),
    offers: async (_visitor, proposals = []) =>
      proposals.some(({ id }) => id === hub.lastFirstFor.proposal) ? hub.offers.toReversed() : hub.offers,
    extension: ({ endsAt }) => (endsAt === undefined ? { is: 'impossible' } : { is: 'possible', byMs: 8 * 3_600_000 }),
    extend: () => Promise.reject(new Error('nothing is made longer here')),
    launch(visitor, choices: Choices) {
      if (hub.failing.launch !== undefined) return Promise.reject(hub.failing.launch)
      const offer = hub.offers.find((each) => each.profile === choices.profile)
      if (offer === undefined) {
        return Promise.reject(new Problem('launchRefused', 'This is not offered to you.', { field: 'profile' }))
      }
      count += 1
      const id = `fake${count}`
      const { name, id: userId } = visitor.user
      const title = choices.title ?? offer.title
      const state: State = { is: 'starting', stage: 'accepted', message: 'Accepted.' }
      const { profile, flavour, proposals } = choices
      if (!isEnvironmentId(id)) throw new Error(id)
      const base = fakeEnvironment(id, name)
      const row = { ...base, userId, title, choices, profile, flavour, proposals, state, requestedAt: new Date() }
      return Promise.resolve(environments.put(row))
    },
  }
}

function fakeCatalogue(hub: Pick<FakeHub, 'proposals' | 'datasets' | 'failing'>): Catalogue {
  const of = async (given: User): Promise<readonly Proposal[]> => {
    if (hub.failing.catalogue !== undefined) throw hub.failing.catalogue
    return given.name === 'alice' ? hub.proposals : []
  }
  return {
    async proposals(given, { search = '', offset, limit }) {
      const words = (each: Proposal): string => `${each.id} ${each.title} ${each.instrument} ${each.technique}`
      const all = (await of(given)).filter((each) => words(each).toLowerCase().includes(search.toLowerCase()))
      return { items: all.slice(offset, offset + limit), total: all.length }
    },
    entitled: async (given, ids) => (await of(given)).filter((each) => ids.includes(each.id)),
    async datasets(given, proposal, { search = '', offset, limit }) {
      if (!(await of(given)).some(({ id }) => id === proposal)) throw notOpen(proposal)
      const all = hub.datasets.filter((each) => each.proposal === proposal && each.name.includes(search))
      return { items: all.slice(offset, offset + limit), total: all.length }
    },
    async datasetsOf(given, proposal, ids) {
      if (!(await of(given)).some(({ id }) => id === proposal)) throw notOpen(proposal)
      return hub.datasets.filter((each) => each.proposal === proposal && ids.includes(each.id))
    },
  }
}

function fakeLog(lines: FakeHub['lines'], base: object = {}): Log {
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields: { ...base, ...fields }, message })
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => fakeLog(lines, { ...base, ...fields }),
  }
}

/* Data */

const days = 86_400_000
const fakeLogins = [
  ['cookie-alice', 'Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0', '192.0.2.17'],
  ['other-alice', 'Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Safari/604.1', '2001:db8::42'],
].map(([id = '', userAgent = '', address = ''], index) => ({
  id,
  userAgent,
  address,
  createdAt: new Date(Date.now() - index * days - 3_600_000),
  seenAt: new Date(Date.now() - index * 7_200_000),
  expiresAt: new Date(Date.now() + (7 - index) * days),
}))

const fakeConfiguration: ConfigurationInput = {
  hub: { title: 'Hutch', contact: 'the scientific computing group' },
  login: {
    demo: true,
    providers: { demo: { title: 'Log in as a demo person', issuer: 'http://127.0.0.1:9/demo', clientId: 'hutch' } },
  },
  flavours: {
    small: { title: 'Small', cpu: 2, memory: '4GiB', walltime: '8h' },
    large: { title: 'Large', cpu: 8, memory: '32GiB', walltime: '24h' },
  },
  profiles: {
    notebook: { title: 'JupyterLab', kind: 'notebook', flavours: ['small', 'large'], on: { local: {} } },
    terminal: { title: 'Terminal', kind: 'terminal', flavours: ['small'], on: { local: {} } },
  },
  spawners: { local: { type: 'local' } },
  mounts: [
    {
      name: 'dataset',
      for: 'dataset',
      source: '{folder}',
      target: '/data/{proposal}/{dataset}',
      allowedRoots: ['/instruments'],
    },
  ],
}

const hour = 3_600_000
const small = { name: 'small', title: 'Small', cpu: 2, memoryBytes: 4 * 2 ** 30, gpus: 0, walltimeMs: 8 * hour }
const large = { name: 'large', title: 'Large', cpu: 8, memoryBytes: 32 * 2 ** 30, gpus: 0, walltimeMs: 24 * hour }
const graphics = { name: 'gpu', title: 'With GPU', cpu: 16, memoryBytes: 64 * 2 ** 30, gpus: 1, walltimeMs: 12 * hour }

const fakeOffers: readonly Offer[] = [
  {
    profile: 'notebook',
    title: 'JupyterLab',
    first: 'First for imaging',
    description: 'Notebooks, a file browser and terminals, with the usual scientific Python packages.',
    kind: 'notebook',
    flavours: [small, large, graphics],
    spawners: ['local', 'cluster'],
  },
  {
    profile: 'terminal',
    title: 'Terminal',
    description: 'A shell in your browser.',
    kind: 'terminal',
    flavours: [small],
    spawners: ['local'],
  },
  {
    profile: 'desktop',
    title: 'Remote desktop',
    description: 'A whole desktop for programs with windows.',
    kind: 'desktop',
    image: 'registry.example.org/analysis/desktop:2026.11',
    flavours: [large],
    spawners: ['cluster'],
    unavailable: 'The cluster does not answer just now. Try again in a few minutes.',
  },
]

const titles: readonly (readonly [string, string, string])[] = [
  ['Pore structure of silica aerogels', 'SANS2D', 'Small-angle neutron scattering'],
  ['Micelles under shear', 'LOQ', 'Small-angle neutron scattering'],
  ['Residual stress in welded steel plates', 'ENGIN-X', 'Neutron diffraction'],
  ['Lithium plating in solid-state cells', 'BM23', 'X-ray absorption'],
  ['Hydration of lipid bilayers', 'INTER', 'Reflectometry'],
  ['Spin waves in a kagome magnet', 'LET', 'Inelastic neutron scattering'],
]

const fakeProposals: readonly Proposal[] = Array.from({ length: 14 }, (_, index) => {
  const [title = '', instrument = '', technique = ''] = titles[index % titles.length] ?? []
  return {
    id: `2026${String(1_042 - index * 7).padStart(4, '0')}`,
    title: index < titles.length ? title : `${title}, part ${Math.floor(index / titles.length) + 1}`,
    instrument,
    technique,
    startsAt: new Date(Date.UTC(2026, 9, 20 - index)),
    endsAt: new Date(Date.UTC(2026, 9, 23 - index)),
    fields: {},
    ...(index === 0 ? { origin: 'Measured at ISIS; shipped with sasdata, BSD-3-Clause' } : {}),
  }
})

/** Of those that are archived the first is on its way. */
const fakeTapes: AppOptions['archive'] = {
  ...noArchive,
  canAsk: true,
  canPick: true,
  states: async (_user, [first]) =>
    new Map(first === undefined ? [] : [[first.id, { is: 'restoring', message: 'Tape 4711 is being read.' }]]),
}

const fakeDatasets: readonly Dataset[] = Array.from({ length: 47 }, (_, index) => ({
  id: `20.500.12345/${(index + 4_000).toString(16)}`,
  proposal: '20261042',
  name: `scan ${String(47 - index).padStart(4, '0')}`,
  folder: `/instruments/loq/2026/20261042/raw/scan${index}`,
  sizeBytes: (index + 1) * 2 ** 30,
  files: 1_800 + index,
  startsAt: new Date(Date.UTC(2026, 9, 20, 23 - (index % 20))),
  ...(index % 5 === 3 ? { archived: true } : {}),
}))
