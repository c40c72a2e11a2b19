/**
 * The composition root: makes each room once, hands it what it needs, opens the sockets. Nothing else in the hub
 * opens a socket or holds state at module level. Start reading here.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import { join } from 'node:path'
import type Koa from 'koa'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Configuration } from '../config/schema.ts'
import { readSecretFile } from '../config/secret.ts'
import { environmentId } from '../spawners/common/environmentId.ts'
import type { Log } from '../spawners/spawner.ts'
import { createAccounts } from './accounts/index.ts'
import { createApp } from './app.ts'
import { createCatalogue } from './catalogue/index.ts'
import { serveControl } from './control.ts'
import { agentsServer } from './http/agents.ts'
import { attachFeed } from './http/feed.ts'
import { createLoginPage } from './http/login.ts'
import { createDemoProvider, type DemoProvider } from './identity/demo/index.ts'
import { createIdentity } from './identity/index.ts'
import { createTokenMaker } from './identity/token-maker.ts'
import { createLaunches } from './launch/index.ts'
import { closer, keptPort, listenOn, listenOnSocket } from './listeners.ts'
import { createEnvironments, reconcileSettings, type Reconciled } from './reconcile/index.ts'
import { prepareAgent } from './setup/agent.ts'
import { findOrInstallJupyter, type Jupyter } from './setup/jupyter.ts'
import { lockStateFolder } from './setup/lock.ts'
import { loadSecrets } from './setup/secrets.ts'
import { prepareStateFolder } from './setup/state-folder.ts'
import { createSpawners, type NamedSpawner } from './spawners.ts'
import { openStore } from './store/index.ts'
import { startProxy } from './supervise/start-proxy.ts'

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
  const folder = await prepareStateFolder(configuration.state)
  for (const warning of folder.warnings) log.warn({}, warning)
  const lock = await lockStateFolder(folder.path)
  opened.defer(() => lock.release())
  const secrets = await loadSecrets(folder.path)
  const publicUrl = publicUrlOf(configuration)
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })

  const store = await openStore(configuration.database, { stateFolder: folder.path, log })
  opened.defer(() => store.close())
  const jupyter = await jupyterFor(options, folder.path)

  const agentsPort = await keptPort(configuration.agents.listen, folder.path)
  const spawners = await createSpawners({
    configuration,
    agentsKey: secrets.agentsKey,
    agent: await prepareAgent(folder.path),
    report: { host: configuration.agents.advertise ?? configuration.agents.listen.host, port: agentsPort },
    software: softwareOf(jupyter),
    log,
    now,
  })
  opened.defer(async () => {
    for (const { spawner } of spawners.values()) await spawner.close?.()
  })
  const reconciler = createEnvironments({
    store,
    spawners: new Map([...spawners].map(([name, { spawner }]) => [name, spawner])),
    agentsKey: secrets.agentsKey,
    settings: reconcileSettings(configuration),
    now,
    log,
    metrics: registry,
  })
  opened.defer(() => reconciler.close())

  const demo = configuration.login.demo
    ? await createDemoProvider({
        stateFolder: folder.path,
        publicUrl,
        listenHost: configuration.listen.host,
        now,
        log,
      })
    : undefined
  const identity = createIdentity({
    db: store.db,
    configuration,
    publicUrl,
    secrets: { loginKey: secrets.derive('logins'), clientSecrets: await clientSecrets(configuration) },
    routes: reconciler.routes,
    now,
    newId: randomUUID,
    log,
    fetch,
    metrics: registry,
    ...(demo === undefined ? {} : { demo }),
    loginPage: createLoginPage({ hub: configuration.hub, now }),
  })
  const catalogue = await createCatalogue(configuration.catalogue, { stateFolder: folder.path, now, log })
  const launches = createLaunches({
    configuration,
    spawners,
    environments: reconciler.environments,
    catalogue,
    accounts: createAccounts(configuration.accounts, { stateFolder: folder.path, now, log }),
    setup: { jupyter: () => healthOf(jupyter) },
    now,
    newId: environmentId(randomBytes),
    log,
  })
  const app = createApp({
    configuration,
    publicUrl,
    identity,
    environments: reconciler.environments,
    launches,
    catalogue,
    admissionKey: secrets.admissionKey,
    registry,
    setup: () => ('missing' in jupyter ? [jupyter.missing] : []),
    log,
    now,
    newId: randomUUID,
  })

  const hubSocket = join(folder.run, 'hub.sock')
  const feedSocket = join(folder.run, 'feed.sock')
  const hubServer = createServer(withDemo(listener(app), demo))
  const feedServer = createServer((_request, response) => response.writeHead(404).end())
  attachFeed(feedServer, {
    routes: reconciler.routes,
    environments: reconciler.environments,
    secret: secrets.feedSecret,
    log,
  })
  await reconciler.start()
  const agentsListener = agentsServer({ ...reconciler, log })
  opened.defer(closer(agentsListener))
  await listenOn(agentsListener, configuration.agents.listen.host, agentsPort)
  for (const [server, path] of [
    [hubServer, hubSocket],
    [feedServer, feedSocket],
  ] as const) {
    const close = closer(server)
    await listenOnSocket(server, path)
    opened.defer(close)
  }
  const control = await serveControl({
    socketPath: join(folder.run, 'control.sock'),
    registry,
    createToken: createTokenMaker({ db: store.db, tokens: identity.tokens }),
  })
  opened.defer(closer(control))
  if (configuration.proxy.managed) {
    const proxy = await startProxy({ configuration, publicUrl, folder, secrets, hubSocket, feedSocket, log })
    opened.defer(() => proxy.stop())
  }
  if (!configuration.environments.outliveHub) {
    opened.defer(() => stopLocal(reconciler, spawners, log))
  }
  log.info({ url: publicUrl.href }, 'the hub is ready')
  const everything = opened.move()
  return { url: publicUrl.href, people: demo?.people ?? [], close: () => everything.disposeAsync() }
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

/** Percent between two lines of progress. */
const progressStep = 5

/** Looked for only where a profile starts JupyterLab of this machine. */
async function jupyterFor({ configuration, log, say, env, signal }: HubOptions, stateFolder: string): Promise<Jupyter> {
  const isLocal = (name: string): boolean => configuration.spawners[name]?.type === 'local'
  const wanted = Object.values(configuration.profiles).some(
    ({ kind, argv, on }) => kind === 'notebook' && argv === undefined && Object.keys(on).some(isLocal),
  )
  if (!wanted) return { binFolder: '/usr/bin' }
  let saidPercent = -progressStep
  const progress = ({ percent, message }: { percent: number; message: string }): void => {
    if (percent < saidPercent + progressStep && percent < 100) return
    saidPercent = percent
    say(`${String(percent).padStart(3)} %  ${message}`)
  }
  return await findOrInstallJupyter({ stateFolder, log, progress, signal, env })
}

function softwareOf(jupyter: Jupyter): { readOnlyPaths: string[]; path: string[] } {
  if ('missing' in jupyter) return { readOnlyPaths: [], path: [] }
  const { binFolder, folder } = jupyter
  return { readOnlyPaths: folder === undefined ? [] : [folder], path: [binFolder] }
}

function healthOf(jupyter: Jupyter): { ok: boolean; message: string } {
  if ('missing' in jupyter) return { ok: false, message: jupyter.missing }
  return { ok: true, message: 'JupyterLab is there.' }
}

async function clientSecrets({ login }: Configuration): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {}
  for (const [name, { clientSecretFile }] of Object.entries(login.providers)) {
    if (clientSecretFile !== undefined) secrets[name] = await readSecretFile(clientSecretFile)
  }
  return secrets
}

/** Koa answers every error itself: the promise never rejects. */
function listener(app: Koa): RequestListener {
  const handle = app.callback()
  return (request, response) => void handle(request, response)
}

/** The demo provider reads bodies and sets headers itself, so it comes before Koa. */
function withDemo(hub: RequestListener, demo: DemoProvider | undefined): RequestListener {
  if (demo === undefined) return hub
  return (request, response) => {
    const one = request.url?.startsWith(demo.path) ? demo.callback : hub
    one(request, response)
  }
}
