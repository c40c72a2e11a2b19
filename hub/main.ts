/**
 * The composition root: makes each room once, hands it what it needs. Nothing else in the hub holds state at module
 * level; sockets are opened in serve.ts. Start reading here.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { basename, dirname } from 'node:path'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Configuration } from '../config/schema.ts'
import { readSecretFile } from '../config/secret.ts'
import { environmentId } from '../spawners/common/environmentId.ts'
import type { Log } from '../spawners/spawner.ts'
import { createArchive } from './archive/index.ts'
import { endedByHub } from './audit/hub-ends.ts'
import { type Audit, createAudit } from './audit/index.ts'
import { createAccounts } from './accounts/index.ts'
import { createSeenAccounts } from './accounts/seen.ts'
import { createApp } from './app.ts'
import { openCredentials, renewTickets } from './credentials/open.ts'
import { createAsk } from './catalogue/ask.ts'
import { createCatalogue } from './catalogue/index.ts'
import { instrumentsOf } from './catalogue/instruments.ts'
import type { User } from './domain/services.ts'
import { createJupyterHubApi } from './http/jupyterhub/create.ts'
import { createLoginPages } from './http/login.ts'
import { createNotices } from './http/notices.ts'
import type { createDemoProvider, DemoProvider } from './identity/demo/index.ts'
import { createIdentity, type Identity } from './identity/index.ts'
import { createAuthenticators } from './identity/forms/create.ts'
import { block } from './identity/blocking.ts'
import { createPeople } from './identity/people.ts'
import { createServerTokens } from './identity/server-tokens.ts'
import type { MatchIdentity } from './identity/users.ts'
import { createLaunches } from './launch/index.ts'
import { keptPort, requireFree } from './listeners.ts'
import { createNotifier, type Send } from './notify/index.ts'
import { pluginAccounts } from './plugins/accounts.ts'
import { pluginMatching } from './plugins/matching.ts'
import { pluginSend } from './plugins/notifier.ts'
import { makePlugin } from './plugins/resolve.ts'
import { createQuotaRooms } from './quota-rooms.ts'
import { createEnvironments, reconcileSettings, type Reconciled } from './reconcile/index.ts'
import { type Rooms, serve } from './serve.ts'
import { prepareAgent } from './setup/agent.ts'
import { removeOldAgents } from './setup/old-agents.ts'
import type { Jupyter } from './setup/jupyter.ts'
import { lockStateFolder } from './setup/lock.ts'
import { loadSecrets, type Secrets } from './setup/secrets.ts'
import { healthOf, jupyterFor, missingDesktop, softwareOf } from './setup/software.ts'
import { prepareStateFolder, type StateFolder } from './setup/state-folder.ts'
import { createSpawners, type NamedSpawner } from './spawners.ts'
import { oldestLaunchAt } from './store/environments.ts'
import { openStore, type Store } from './store/index.ts'
import { createGrantees } from './sharing/grantees.ts'
import { createSharing } from './sharing/index.ts'

export interface HubOptions {
  /** As config/load.ts gives it. */
  readonly configuration: Configuration
  readonly log: Log
  /** Progress for whoever started it; one line each. */
  readonly say: (line: string) => void
  readonly env: NodeJS.ProcessEnv
  /** Interrupts what takes long at the start. */
  readonly signal: AbortSignal
}

export interface Hub {
  readonly url: string
  /** With the demo provider: who can log in. */
  readonly people: DemoProvider['people']
  /** Stops what it started; environments too, unless the configuration says that they outlive the hub. */
  close(): Promise<void>
}

const now = (): Date => new Date()

/** Returns when browsers can come. Throws what hub/cli/failure.ts can explain; what was opened is closed again. */
export async function startHub(options: HubOptions): Promise<Hub> {
  const { configuration, log } = options
  await using opened = new AsyncDisposableStack()
  const ground = await layGround(options, opened)
  // A new folder has no proxy of an earlier hub that may still hold the address.
  if (ground.folder.fresh && configuration.proxy.managed) await requireFree(configuration.listen)
  const jupyter = await jupyterFor(options, ground.folder.path)
  const agent = await prepareAgent(ground.folder.path)
  const agentsPort = await keptPort(configuration.agents.listen, ground.folder.path)
  const serverTokens = createServerTokens(ground.secrets.derive('servers'))
  const credentials = await openCredentials(configuration, { fetch, now, log }, opened)
  const spawners = await createSpawners({
    configuration,
    ...(credentials === undefined ? {} : { tickets: (spec, signal) => credentials.tickets(spec, signal) }),
    agentsKey: ground.secrets.agentsKey,
    agent,
    report: { host: configuration.agents.advertise ?? configuration.agents.listen.host, port: agentsPort },
    software: softwareOf(jupyter),
    serverTokenOf: (id) => serverTokens.of(id),
    log,
    now,
  })
  opened.defer(async () => {
    for (const { spawner } of spawners.values()) await spawner.close?.()
  })
  const reconciler = createEnvironments({
    store: ground.store,
    spawners: new Map([...spawners].map(([name, { spawner }]) => [name, spawner])),
    agentsKey: ground.secrets.agentsKey,
    settings: reconcileSettings(configuration),
    now,
    log,
    metrics: ground.registry,
    expired: ({ id, userId, owner }, reason) =>
      ground.audit.note(endedByHub({ id, owner: { id: userId, name: owner } }, reason)),
  })
  opened.defer(() => reconciler.close())
  const rooms = await makeRooms(ground, reconciler, spawners, jupyter)
  await serve(ground, { ...rooms, reconciler, agentsPort }, opened)
  if (credentials !== undefined) renewTickets({ ...reconciler, credentials, spawners, now, log }, opened)
  if (!configuration.environments.outliveHub) opened.defer(() => stopLocal(reconciler, spawners, log))
  void tidyAgents(ground, agent.folder)
  log.info({ url: ground.publicUrl.href }, 'the hub is ready')
  const everything = opened.move()
  return { url: ground.publicUrl.href, people: rooms.demo?.people ?? [], close: () => everything.disposeAsync() }
}

/** What every room stands on. */
export interface Ground {
  readonly configuration: Configuration
  readonly publicUrl: URL
  readonly folder: StateFolder
  readonly secrets: Secrets
  readonly store: Store
  readonly audit: Audit
  readonly registry: Registry
  readonly log: Log
}

async function layGround({ configuration, log }: HubOptions, opened: AsyncDisposableStack): Promise<Ground> {
  const folder = await prepareStateFolder(configuration.state)
  for (const warning of folder.warnings) log.warn({}, warning)
  const lock = await lockStateFolder(folder.path)
  opened.defer(() => lock.release())
  const secrets = await loadSecrets(folder.path)
  const registry = new Registry()
  // The lag of the event loop is measured by a timer: at rest it would be most of what the hub does.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 })
  const store = await openStore(configuration.database, { stateFolder: folder.path, log })
  opened.defer(() => store.close())
  const audit = createAudit({ store, configuration: configuration.audit, now, log })
  audit.start()
  opened.defer(() => audit.close())
  return { configuration, publicUrl: publicUrlOf(configuration), folder, secrets, store, audit, registry, log }
}

async function makeRooms(
  ground: Ground,
  { environments, routes }: Reconciled,
  spawners: ReadonlyMap<string, NamedSpawner>,
  jupyter: Jupyter,
): Promise<Pick<Rooms, 'identity' | 'app' | 'quota' | 'notifier' | 'lifetimes' | 'notices' | 'sweep' | 'demo'>> {
  const { configuration, publicUrl, folder, secrets, store, audit, registry, log } = ground
  const shared = { configuration, publicUrl, environments, audit, now, log }
  const inState = { stateFolder: folder.path, now, log }
  const demo = configuration.login.demo
    ? await startDemo({ ...inState, publicUrl, listenHost: configuration.listen.host })
    : undefined
  const services = await serviceTokens(configuration)
  const accounts = createAccounts(configuration.accounts, {
    ...inState,
    claims: { db: store.db, providers: configuration.login.providers },
    seen: createSeenAccounts({ db: store.db, now }),
    ...(configuration.accounts.source === 'plugin'
      ? { plugin: pluginAccounts(await makePlugin('accounts', configuration.accounts.plugin, { fetch, now, log })) }
      : {}),
  })
  const catalogue = await createCatalogue(configuration.catalogue, {
    ...inState,
    contact: configuration.hub.contact,
    groupsOf: {
      account: async (user, signal) => (await accounts.of(user, signal)).groups.map(({ name }) => name),
      login: (user) => loginGroups(identity, user),
    },
    instrumentsOf: instrumentsOf(configuration.instruments, (user) => loginGroups(identity, user)),
    ownToken: (user, provider, options) => identity.ownTokens.of(user, provider, options),
    fetch,
  })
  const identity: Identity = createIdentity({
    ...shared,
    catalogue,
    db: store.db,
    writer: store.writer,
    secrets: {
      loginKey: secrets.derive('logins'),
      clientSecrets: await clientSecrets(configuration),
      serversKey: secrets.derive('servers'),
      serviceTokens: services,
    },
    routes,
    newId: randomUUID,
    fetch,
    metrics: registry,
    ...(demo === undefined ? {} : { demo }),
    authenticators: await createAuthenticators(configuration, { fetch, now, log }),
    ...(await matchingOf(configuration, log)),
    ...createLoginPages({ hub: configuration.hub, warnMs: configuration.login.warn, now }),
  })
  const notifier = createNotifier({
    store,
    administrators: configuration.mail?.administrators ?? configuration.notify?.administrators ?? [],
    ...(await messenger(configuration, log)),
    holder: randomUUID(),
    now,
    log,
  })
  const limiting = await createQuotaRooms({
    ...shared,
    store,
    spawners,
    catalogue,
    accounts,
    authorisation: identity.authorisation,
    notifier,
  })
  const { quota, lifetimes } = limiting
  const archive = createArchive({
    configuration: configuration.archive,
    ask: createAsk({ fetch, deadlineMs: configuration.archive?.hook?.timeout ?? 0 }),
    contact: configuration.hub.contact,
    log,
  })
  const launches = createLaunches({
    ...shared,
    archive,
    authorisation: identity.authorisation,
    spawners,
    catalogue,
    accounts,
    setup: { jupyter: () => healthOf(jupyter), missingForDesktop: missingDesktop },
    quota,
    newId: environmentId(randomBytes),
  })
  const sharing = createSharing({
    ...shared,
    store,
    routes,
    notifier,
    catalogue,
    authorisation: identity.authorisation,
    groupsOf: (user) => loginGroups(identity, user),
    newId: () => randomBytes(12).toString('hex'),
  })
  const people = createPeople({
    ...store,
    ...identity,
    routes,
    now: () => now().getTime(),
    newId: randomUUID,
  })
  const operations = createJupyterHubApi({
    people,
    ...shared,
    store,
    identity,
    sharing,
    serviceTokens: services,
    launches,
    catalogue,
    archive,
    routes,
  })
  const app = createApp({
    ...shared,
    archive,
    identity,
    launches,
    ...limiting,
    catalogue,
    sharing,
    people,
    block: (user, reason, by) => block({ db: store.db, audit, routes, now }, user, reason, by),
    grantees: createGrantees({ db: store.db, groups: identity.access.groups }),
    operations,
    admissionKey: secrets.admissionKey,
    registry,
    setup: () => ('missing' in jupyter ? [jupyter.missing] : []),
    newId: randomUUID,
  })
  const notices = createNotices({ ...shared, launches, quota, loginWarnMs: configuration.login.warn })
  return { identity, app, quota, notifier, lifetimes, notices, sweep: sharing.sweep, demo }
}

/** As the providers said at the last login, and those that the hub keeps. */
async function loginGroups(
  { vouching, access }: Identity,
  user: Pick<User, 'id' | 'name'>,
): Promise<readonly string[]> {
  const [vouched, kept] = await Promise.all([vouching.of(user.id), access.groups.of(user)])
  return [...(vouched?.groups ?? []), ...kept]
}

/** Loaded where it is wanted: a facility's own hub needs none of it. */
async function startDemo(options: Parameters<typeof createDemoProvider>[0]): Promise<DemoProvider> {
  const demo = await import('./identity/demo/index.ts')
  return await demo.createDemoProvider(options)
}

/** Not waited for, and no harm when it fails: the next start does it. */
async function tidyAgents({ store, log }: Ground, current: string): Promise<void> {
  try {
    const removed = await removeOldAgents({
      folder: dirname(current),
      current: basename(current),
      oldestLaunchAt: () => oldestLaunchAt(store.db),
      now,
    })
    if (removed.length > 0) log.info({ removed }, 'agents of earlier versions that nothing uses were removed')
  } catch (error) {
    log.warn({ err: error }, 'old agents could not be removed')
  }
}

const stopTimeoutMs = 30_000

/** Those of this machine: what a cluster runs is not the hub's to take along. */
async function stopLocal(
  { stopAll }: Pick<Reconciled, 'stopAll'>,
  spawners: ReadonlyMap<string, NamedSpawner>,
  log: Log,
): Promise<void> {
  const left = await stopAll({
    reason: 'cancelled',
    message: 'The hub was stopped, and what it ran on this machine with it.',
    spawners: [...spawners].filter(([, { type }]) => type === 'local').map(([name]) => name),
    deadlineMs: stopTimeoutMs,
  })
  if (left > 0) log.warn({ left }, 'some environments did not end in time; the next start goes on stopping them')
}

function publicUrlOf({ publicUrl, listen }: Configuration): URL {
  if (publicUrl !== undefined) return new URL(publicUrl)
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host
  return new URL(`http://${host}:${listen.port}/`)
}

async function clientSecrets({ login }: Configuration): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {}
  for (const [name, { clientSecretFile }] of Object.entries(login.providers)) {
    if (clientSecretFile !== undefined) secrets[name] = await readSecretFile(clientSecretFile)
  }
  return secrets
}

/** Loaded where there is one. */
async function messenger({ mail, notify }: Configuration, log: Log): Promise<{ send?: Send }> {
  if (notify !== undefined)
    return { send: pluginSend(await makePlugin('notifier', notify.plugin, { fetch, now, log })) }
  if (mail === undefined) return {}
  const { createSmtp } = await import('./notify/smtp.ts')
  const password = mail.passwordFile === undefined ? undefined : await readSecretFile(mail.passwordFile)
  return { send: createSmtp(mail, password) }
}

async function matchingOf({ login }: Configuration, log: Log): Promise<{ matchIdentity?: MatchIdentity }> {
  if (login.matching === undefined) return {}
  return { matchIdentity: pluginMatching(await makePlugin('matching', login.matching.plugin, { fetch, now, log })) }
}

async function serviceTokens({ services }: Configuration): Promise<Record<string, string>> {
  const tokens: Record<string, string> = {}
  for (const [name, { apiTokenFile }] of Object.entries(services)) tokens[name] = await readSecretFile(apiTokenFile)
  return tokens
}
