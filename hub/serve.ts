/** The hub's sockets: pages and API, the feed of proxies, agents' reports, commands; then the proxy in front. */
import { createServer, type RequestListener } from 'node:http'
import { join } from 'node:path'
import type Koa from 'koa'
import { renumber } from './accounts/seen.ts'
import { auditExporter } from './audit/export.ts'
import { pseudonymise } from './audit/pseudonymise.ts'
import { serveControl } from './control.ts'
import { agentsServer } from './http/agents.ts'
import { attachFeed } from './http/feed.ts'
import { metricsServer } from './http/metrics-server.ts'
import type { DemoProvider } from './identity/demo/index.ts'
import type { Identity } from './identity/index.ts'
import { block } from './identity/blocking.ts'
import { createTokenMaker } from './identity/token-maker.ts'
import { closer, listenOn, listenOnSocket } from './listeners.ts'
import type { Ground } from './main.ts'
import type { NoticesFor } from './http/notices.ts'
import type { Notifier } from './notify/index.ts'
import type { Lifetimes } from './quota/lifetimes.ts'
import type { Quota } from './quota/index.ts'
import type { Reconciled } from './reconcile/index.ts'
import type { Sweep } from './sharing/sweep.ts'
import { startProxy, writeProxyFiles } from './supervise/start-proxy.ts'

export interface Rooms {
  readonly reconciler: Reconciled
  readonly identity: Identity
  readonly app: Koa
  readonly quota: Quota
  readonly notifier: Notifier
  readonly lifetimes: Lifetimes
  readonly notices: NoticesFor
  readonly sweep: Sweep
  readonly demo: DemoProvider | undefined
  /** Kept over restarts: agents that outlive this hub report to it. */
  readonly agentsPort: number
}

/** Returns when browsers can come. What it opens is closed with `opened`, the last first. */
export async function serve(ground: Ground, rooms: Rooms, opened: AsyncDisposableStack): Promise<void> {
  const { configuration, publicUrl, folder, secrets, registry, store, audit, log } = ground
  const { reconciler, identity, app, quota, notifier, lifetimes, notices, sweep, demo, agentsPort } = rooms
  await reconciler.start()
  notifier.start()
  opened.defer(() => notifier.close())
  lifetimes.start()
  opened.defer(() => lifetimes.close())
  sweep.start()
  opened.defer(() => sweep.close())
  identity.refresher.start()
  opened.defer(() => identity.refresher.close())
  const agents = agentsServer({ ...reconciler, notices, log })
  opened.defer(closer(agents))
  await listenOn(agents, configuration.agents.listen.host, agentsPort)

  const hubSocket = join(folder.run, 'hub.sock')
  const feedSocket = join(folder.run, 'feed.sock')
  const hub = createServer(withDemo(listener(app), demo))
  const feed = createServer((_request, response) => response.writeHead(404).end())
  attachFeed(feed, { ...reconciler, secret: secrets.feedSecret, log })
  for (const [server, path] of [
    [hub, hubSocket],
    [feed, feedSocket],
  ] as const) {
    opened.defer(closer(server))
    await listenOnSocket(server, path)
  }
  const control = await serveControl({
    socketPath: join(folder.run, 'control.sock'),
    registry,
    createToken: createTokenMaker({ db: store.db, tokens: identity.tokens }),
    auditPage: auditExporter(store.db),
    block: (user, reason) =>
      block({ db: store.db, audit, routes: reconciler.routes, now: () => new Date() }, user, reason, { who: 'hub' }),
    applyLimits: (file) => quota.apply(file, { who: 'hub' }),
    renumber: (user) => renumber({ db: store.db, audit }, user, { who: 'hub' }),
    pseudonymise: (user) =>
      pseudonymise({ store, audit, routes: reconciler.routes, now: () => new Date() }, user, { who: 'hub' }),
  })
  opened.defer(closer(control))
  await serveMetrics(ground, opened)
  const places = { configuration, publicUrl, folder, secrets, hubSocket, feedSocket, log }
  if (!configuration.proxy.managed) return await writeProxyFiles(places)
  const proxy = await startProxy(places)
  opened.defer(() => proxy.stop())
}

async function serveMetrics({ configuration, registry, log }: Ground, opened: AsyncDisposableStack): Promise<void> {
  const { listen } = configuration.metrics
  if (listen === undefined) return
  const server = metricsServer(registry, log)
  opened.defer(closer(server))
  await listenOn(server, listen.host, listen.port)
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
