/** The life of one agent: listen, check, start the application, serve, and end everything that it started. */
import { randomBytes } from 'node:crypto'
import type { Server } from 'node:https'
import { homedir } from 'node:os'
import { delimiter } from 'node:path'
import type { Writable } from 'node:stream'
import { startApplication, type RunningApplication } from './application.ts'
import { defaultApplication } from './applications.ts'
import type { AgentBootstrap } from './bootstrap.ts'
import type { DesktopKind } from './desktop/index.ts'
import { desktopOf } from './desktop-of.ts'
import { checkDirectories } from './directories.ts'
import { createEvidence, type Evidence } from './evidence.ts'
import { createForwarder, type Forwarder } from './forward.ts'
import { counting } from './site/visitor.ts'
import type { AgentHealth } from './health.ts'
import { createJupyterWatch } from './jupyter-activity.ts'
import { createLastLines, type LastLines } from './last-lines.ts'
import { createPskServer, listen } from './listen.ts'
import { fillIn } from './placeholders.ts'
import { endStragglers } from './processes.ts'
import { plainVariables, tellsItself, unusedPort } from './plain.ts'
import { readPackages } from './packages.ts'
import { prepareRescue, type Rescue } from './rescue.ts'
import { createReporter, type Reporter } from './reporter.ts'
import { isSafePrefix } from './route.ts'
import { serve } from './serve.ts'
import { createNoticeKeeper, type NoticeKeeper } from './notices.ts'
import { makeSocketFolder, type SocketFolder } from './socket-folder.ts'
import { createStateKeeper, type StateKeeper } from './state.ts'
import { createAssets } from './site/assets.ts'
import { createSite, type Site } from './site/index.ts'
import { noticeDoors } from './site/notices.ts'
import { createTerminal } from './terminal/place.ts'
import { createSessions, type Sessions } from './terminal/sessions.ts'
import { upstreamOf, type Upstream } from './upstream.ts'

export interface AgentOptions {
  readonly bootstrap: AgentBootstrap
  /** What the application and the terminals get, with a few names added. */
  readonly environment: NodeJS.ProcessEnv
  readonly out: Writable
  readonly now: () => Date
  readonly locateAsset: (name: string) => string
  /** A folder for JUPYTER_PATH: what JupyterLab is to have besides its own. */
  readonly jupyterFolder: string
}

export interface Agent {
  /** Asks for a graceful stop; `done` follows. */
  stop(): void
  /** The exit code: the application's, or 0 after a stop that was asked for. Rejects when nothing could be served. */
  readonly done: Promise<number>
}

/** What the parts of a life share; the last ones come as it goes on, the desktop only where it is one. */
interface Life {
  readonly bootstrap: AgentBootstrap
  readonly run: string
  readonly home: string
  readonly start: string
  readonly environment: NodeJS.ProcessEnv
  readonly say: (line: string) => void
  readonly stopping: AbortController
  readonly state: StateKeeper
  readonly evidence: Evidence
  readonly lines: LastLines
  readonly notices: NoticeKeeper
  readonly jupyterFolder: string
  readonly rescue: Rescue | undefined
  readonly sessions: Sessions
  readonly site: Site
  readonly server: Server
  reporter?: Reporter
  /** Until the hub has it. */
  packages?: string | undefined
  folder?: SocketFolder
  application?: RunningApplication
  forwarder?: Forwarder
  readonly desktop?: DesktopKind
  /** Of an application that listens itself. */
  plainPort?: number
}

const lastReportMs = { asked: 3_000, failed: 15_000 }
const linesInMessage = 1_800

export function startAgent(options: AgentOptions): Agent {
  const life = begin(options)
  serveLife(life)
  return { stop: () => life.stopping.abort(), done: live(life) }
}

function begin({ bootstrap, environment, out, now, locateAsset, jupyterFolder }: AgentOptions): Life {
  const { id, prefix, user } = bootstrap
  const run = randomBytes(9).toString('base64url')
  const say = (line: string): void => void out.write(`hutch-agent: ${line}\n`)
  const home = environment['HOME'] ?? homedir()
  const start = fillIn(bootstrap.application.directory ?? home, { prefix, home })
  const rescue = prepareRescue(environment, home)
  const marked = { ...(rescue?.environment ?? environment), HUTCH_ENVIRONMENT: id, HUTCH_RUN: run }
  const evidence = createEvidence({ id, now })
  const sessions = createSessions({ directory: start, environment: marked, now })
  const notices = createNoticeKeeper({ now })
  const assets = createAssets(locateAsset)
  const onInput = (): void => evidence.activity.touch()
  const ground = {
    bootstrap,
    notices,
    jupyterFolder,
    rescue,
    run,
    home,
    start,
    say,
    evidence,
    sessions,
    environment: marked,
    lines: createLastLines(out),
  }
  const desktop =
    bootstrap.application.kind === 'desktop'
      ? desktopOf({ ...ground, environment: { ...marked, ...jupyterPath(ground) }, assets, onInput })
      : undefined
  const terminal = createTerminal({ sessions, assets, user, onInput })
  const life: Life = {
    ...ground,
    ...(desktop && { desktop }),
    stopping: new AbortController(),
    state: createStateKeeper(({ message }) => {
      // The lines that follow the first one are the application's, and were passed on already.
      if (message !== undefined) say(message.split('\n', 1)[0] ?? '')
      life.reporter?.nudge()
    }),
    site: createSite({
      assets,
      places: { terminal, ...(desktop && { desktop: desktop.place }) },
      doors: noticeDoors({
        notices: (loginEndsAt) => notices.now(loginEndsAt),
        // Somebody is there, and the hub hears of it now: until when it may stay comes with the answer.
        onStay() {
          onInput()
          life.reporter?.nudge()
        },
      }),
    }),
    server: createPskServer({ id, key: Buffer.from(bootstrap.key, 'base64url') }),
  }
  return life
}

/** The agent's own page that is the application, for kinds that have one. */
const homes: Readonly<Record<AgentBootstrap['application']['kind'], string | undefined>> = {
  notebook: undefined,
  web: undefined,
  terminal: defaultApplication('terminal').landingPath,
  desktop: defaultApplication('desktop').landingPath,
}

function serveLife(life: Life): void {
  const { bootstrap, run, evidence, sessions, site, state, stopping, desktop, say } = life
  const { kind } = bootstrap.application
  const health = (): AgentHealth => ({ version: 1, id: bootstrap.id, run, ...state.now() })
  serve(life.server, {
    prefix: bootstrap.prefix,
    home: homes[kind],
    hasApplication: kind !== 'terminal',
    site,
    forwarder: () => {
      if (state.now().application !== 'ready' || stopping.signal.aborted) return 'starting'
      return desktop ? desktop.beside() : (life.forwarder ?? 'starting')
    },
    health,
    status: async () => ({ ...health(), ...(await evidence.read()), terminals: sessions.list().length }),
    stop: () => stopping.abort(),
    onRequest: (incoming) => {
      const { method } = incoming
      // Jupyter tells of its own activity; of other applications only what changes something counts.
      if (kind === 'web' && method !== 'GET' && method !== 'HEAD') counting(incoming, () => evidence.activity.touch())()
    },
    say,
  })
}

async function live(life: Life): Promise<number> {
  const { bootstrap, say, server } = life
  if (!isSafePrefix(bootstrap.prefix)) throw new Error(`the prefix ${bootstrap.prefix} can't be served`)
  const port =
    bootstrap.plain === undefined ? await listen(server, bootstrap.listen) : await unusedPort(bootstrap.listen)
  if (bootstrap.plain === undefined) say(`${bootstrap.id} listens on ${bootstrap.listen.host}:${port}`)
  else life.plainPort = port
  const code = tellsItself(bootstrap) ? await runItself(life) : await runReported(life, port)
  await end(life)
  return code
}

/** Its port is its own, and so is the telling of it. */
async function runItself(life: Life): Promise<number> {
  const application = startServer(life, (life.folder = await makeSocketFolder(life.bootstrap.socketFolder)))
  life.application = application
  const last = await Promise.race([application.exit, aborted(life.stopping.signal)])
  return last === undefined ? 0 : last.code
}

async function runReported(life: Life, port: number): Promise<number> {
  const { bootstrap, run, say, state, evidence } = life
  life.reporter = createReporter({
    bootstrap,
    say,
    heard: (text) => life.notices.heard(text),
    taken({ packages }) {
      if (packages !== undefined) life.packages = undefined
    },
    snapshot: async (isUrgent) => {
      const figures = isUrgent ? evidence.latest() : await evidence.read()
      const { packages } = life
      // The first one is waited for: it says no more than it must.
      const more = packages === undefined || isUrgent ? {} : { packages }
      return { version: 1, port, run, ...state.now(), ...figures, ...more }
    },
  })
  return await runApplication(life)
}

/** Until the application ends or a stop is asked for. Returns the exit code. */
async function runApplication(life: Life): Promise<number> {
  const { bootstrap, start, state, stopping } = life
  const directories = [...bootstrap.directories, { name: 'start', path: start, readOnly: true }]
  const problems = await checkDirectories(directories)
  if (problems.length > 0) return fail(life, problems.join(' '))
  if (bootstrap.application.kind === 'terminal') {
    state.become('ready')
    await aborted(stopping.signal)
    return 0
  }
  try {
    life.folder = await makeSocketFolder(bootstrap.socketFolder)
  } catch (error) {
    return fail(life, (error as Error).message)
  }
  return await follow(life, startIn(life, life.folder), life.folder.socket)
}

function startIn(life: Life, folder: SocketFolder): RunningApplication {
  life.application = life.desktop?.start(folder) ?? startServer(life, folder)
  return life.application
}

function startServer(life: Life, { socket, runtime }: SocketFolder): RunningApplication {
  const { bootstrap, home, start, environment, lines } = life
  const { argv, readyPath } = bootstrap.application
  const { plainPort } = life
  const port = plainPort === undefined ? {} : { port: String(plainPort) }
  const values = { socket, prefix: bootstrap.prefix, home, start, ...port }
  return startApplication({
    argv: argv.map((argument) => fillIn(argument, values)),
    directory: start,
    environment: {
      ...environment,
      JUPYTER_RUNTIME_DIR: runtime,
      ...jupyterPath(life),
      ...(plainPort === undefined ? {} : plainVariables(bootstrap, plainPort)),
    },
    upstream: upstreamIn(life, socket),
    readyUrl: bootstrap.prefix + readyPath.replace(/^\/+/, ''),
    startTimeoutMs: bootstrap.startTimeoutMs,
    lines,
  })
}

/** The user's own paths come first; other applications than Jupyter make nothing of it. */
function jupyterPath({ environment, jupyterFolder }: Pick<Life, 'environment' | 'jupyterFolder'>): {
  JUPYTER_PATH: string
} {
  return { JUPYTER_PATH: [environment['JUPYTER_PATH'], jupyterFolder].filter(Boolean).join(delimiter) }
}

async function follow(life: Life, application: RunningApplication, socket: string): Promise<number> {
  const { bootstrap, state, stopping, lines } = life
  const asked = aborted(stopping.signal).then(() => 'asked' as const)
  const first = await Promise.race([application.ready, application.exit, asked])
  if (first === 'asked') return 0
  if (first === 'late') {
    const seconds = Math.round(bootstrap.startTimeoutMs / 1000)
    return fail(life, `The application was not ready within ${seconds} s.\n${lines.text(linesInMessage)}`.trim())
  }
  if (first === 'ready') becomeReady(life, socket)
  const last = await Promise.race([application.exit, asked])
  if (last === 'asked') return 0
  state.become(last.is, last.message)
  return last.code
}

function upstreamIn({ bootstrap: { prefix, application }, plainPort }: Life, socket: string): Upstream {
  const { port = plainPort, atRoot } = application
  return upstreamOf({ socket, prefix, ...(port !== undefined && { port }), ...(atRoot !== undefined && { atRoot }) })
}

function becomeReady(life: Life, socket: string): void {
  const { bootstrap, evidence, state, say } = life
  const { kind } = bootstrap.application
  const upstream = upstreamIn(life, socket)
  if (bootstrap.plain !== undefined) {
    // It tells the hub of its use itself.
    state.become('ready')
    return say('the application is ready')
  }
  if (kind === 'notebook') {
    life.forwarder = createForwarder({ upstream })
    evidence.ask(createJupyterWatch({ to: upstream.to, prefix: bootstrap.prefix }, evidence.activity))
  } else if (kind === 'web') {
    life.forwarder = createForwarder({ upstream, onClientData: () => evidence.activity.touch() })
  }
  state.become('ready')
  say('the application is ready')
  void readPackages(life.environment).then((packages) => (life.packages = packages))
}

function fail({ state }: Life, message: string): number {
  state.become('failed', message)
  return 1
}

async function end(life: Life): Promise<void> {
  const { bootstrap, run, say, state, stopping, server, site, sessions, reporter } = life
  stopping.abort()
  site.close()
  sessions.close()
  const graceMs = bootstrap.stopTimeoutMs
  await Promise.all([life.desktop?.stopBeside(graceMs), life.application?.stop(graceMs)])
  const ended = await endStragglers(`HUTCH_RUN=${run}`)
  if (ended > 0) say(`${ended} processes had to be ended`)
  const { application } = state.now()
  if (application === 'starting' || application === 'ready') state.become('ended', 'Stopped as asked.')
  await reporter?.flush(application === 'failed' ? lastReportMs.failed : lastReportMs.asked)
  reporter?.close()
  life.forwarder?.close()
  server.close()
  server.closeAllConnections()
  await life.folder?.remove()
  await life.rescue?.remove()
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
