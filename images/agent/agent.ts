/** The life of one agent: listen, check, start the application, serve, and end everything that it started. */
import { randomBytes } from 'node:crypto'
import { homedir } from 'node:os'
import type { Writable } from 'node:stream'
import { createActivity } from './activity.ts'
import { startApplication, type Exit, type RunningApplication } from './application.ts'
import type { AgentBootstrap, AgentReport } from './bootstrap.ts'
import { checkDirectories } from './directories.ts'
import { createForwarder, type Forwarder } from './forward.ts'
import { createGpuReader } from './gpus.ts'
import type { AgentHealth } from './health.ts'
import { watchJupyter } from './jupyter-activity.ts'
import { createLastLines } from './last-lines.ts'
import { createPskServer, listen } from './listen.ts'
import { fillIn } from './placeholders.ts'
import { endStragglers } from './processes.ts'
import { createReporter, type Reporter } from './reporter.ts'
import { isSafePrefix } from './route.ts'
import { serve } from './serve.ts'
import { makeSocketFolder, type SocketFolder } from './socket-folder.ts'
import { createAssets } from './terminal/assets.ts'
import { createSessions } from './terminal/sessions.ts'
import { createTerminalSite } from './terminal/site.ts'
import { createUsageReader } from './usage.ts'

export interface AgentOptions {
  readonly bootstrap: AgentBootstrap
  /** What the application and the terminals get, with a few names added. */
  readonly environment: NodeJS.ProcessEnv
  readonly out: Writable
  readonly now: () => Date
  readonly locateAsset: (name: string) => string
}

export interface Agent {
  /** Asks for a graceful stop; `done` follows. */
  stop(): void
  /** The exit code: the application's, or 0 after a stop that was asked for. Rejects when nothing could be served. */
  readonly done: Promise<number>
}

/** Less than an idle JupyterLab with kernels, and less than anything that somebody waits for. */
const busyCores = 0.2
const lastReportMs = { asked: 3_000, failed: 15_000 }
const longestMessage = 2_000

export function startAgent(options: AgentOptions): Agent {
  const { bootstrap, out, now, locateAsset } = options
  const { id, prefix, application } = bootstrap
  const say = (line: string): void => void out.write(`hutch-agent: ${line}\n`)
  const run = randomBytes(9).toString('base64url')
  const home = options.environment['HOME'] ?? homedir()
  const start = fillIn(application.directory ?? home, { prefix, home })
  const environment: NodeJS.ProcessEnv = { ...options.environment, HUTCH_ENVIRONMENT: id, HUTCH_RUN: run }
  const hasApplication = application.kind !== 'terminal'

  const activity = createActivity(now)
  const usage = createUsageReader({ id, readGpus: createGpuReader() })
  const sessions = createSessions({ directory: start, environment, now })
  const site = createTerminalSite({
    sessions,
    assets: createAssets(locateAsset),
    user: bootstrap.user,
    onInput: () => activity.touch(),
  })
  const stopping = new AbortController()
  let state: Readonly<{ application: AgentReport['application']; message?: string }> = { application: 'starting' }
  let forwarder: Forwarder | undefined
  let reporter: Reporter | undefined
  const become = (application: AgentReport['application'], message?: string): void => {
    state = { application, ...(message === undefined ? {} : { message: message.slice(0, longestMessage) }) }
    // The lines that follow the first one are the application's, and were passed on already.
    if (message !== undefined) say(message.split('\n', 1)[0] ?? '')
    reporter?.nudge()
  }

  const health = (): AgentHealth => ({ version: 1, id, run, ...state })
  const evidence = async () => {
    const used = await usage.read()
    if ((used.cpu ?? 0) >= busyCores) activity.touch()
    const last = activity.last()
    return { usage: used, ...(last === undefined ? {} : { lastActivityAt: last.toISOString() }) }
  }
  const server = createPskServer({ id, key: Buffer.from(bootstrap.key, 'base64url') })
  serve(server, {
    prefix,
    hasApplication,
    site,
    forwarder: () => (state.application === 'ready' && !stopping.signal.aborted ? forwarder : undefined),
    health,
    status: async () => ({ ...health(), ...(await evidence()), terminals: sessions.list().length }),
    stop: () => stopping.abort(),
    onRequest: ({ method }) => {
      // Jupyter tells of its own activity; of other applications only what changes something counts.
      if (application.kind !== 'notebook' && method !== 'GET' && method !== 'HEAD') activity.touch()
    },
    say,
  })

  const live = async (): Promise<number> => {
    if (!isSafePrefix(prefix)) throw new Error(`the prefix ${prefix} can't be served`)
    const port = await listen(server, bootstrap.listen)
    say(`${id} listens on ${bootstrap.listen.host}:${port}`)
    reporter = createReporter({
      bootstrap,
      say,
      snapshot: async () => ({ version: 1, port, run, ...state, ...(await evidence()) }),
    })
    let folder: SocketFolder | undefined
    let started: RunningApplication | undefined
    const code = await (async () => {
      const problems = await checkDirectories([
        ...bootstrap.directories,
        { name: 'start', path: start, readOnly: true },
      ])
      if (problems.length > 0) return fail(problems.join(' '))
      if (!hasApplication) {
        become('ready')
        await aborted(stopping.signal)
        return 0
      }
      try {
        folder = await makeSocketFolder(bootstrap.socketFolder)
      } catch (error) {
        return fail((error as Error).message)
      }
      const { socket, runtime } = folder
      const values = { socket, prefix, home, start }
      started = startApplication({
        argv: application.argv.map((argument) => fillIn(argument, values)),
        directory: start,
        environment: { ...environment, JUPYTER_RUNTIME_DIR: runtime },
        socket,
        readyUrl: prefix + application.readyPath.replace(/^\/+/, ''),
        startTimeoutMs: bootstrap.startTimeoutMs,
        lines,
      })
      return await follow(started, socket)
    })()
    return await end(code, started, folder)
  }

  const lines = createLastLines(out)
  const fail = (message: string, code = 1): number => {
    become('failed', message)
    return code
  }

  const follow = async (started: RunningApplication, socket: string): Promise<number> => {
    const asked = aborted(stopping.signal).then(() => 'asked' as const)
    const first = await Promise.race([started.ready, started.exit, asked])
    if (first === 'asked') return 0
    if (first === 'late') {
      const seconds = Math.round(bootstrap.startTimeoutMs / 1000)
      return fail(`The application was not ready within ${seconds} s.\n${lines.text(1_800)}`.trim())
    }
    if (first === 'ready') {
      forwarder = createForwarder({
        socketPath: socket,
        ...(application.kind === 'notebook' ? {} : { onClientData: () => activity.touch() }),
      })
      become('ready')
      say('the application is ready')
    }
    const watch = application.kind === 'notebook' ? watchJupyter({ socket, prefix }, activity) : undefined
    const last = await Promise.race([started.exit, asked])
    watch?.stop()
    if (last === 'asked') return 0
    return exited(last)
  }

  const exited = (exit: Exit): number => {
    become(exit.is, exit.message)
    return exit.code
  }

  const end = async (code: number, started?: RunningApplication, folder?: SocketFolder): Promise<number> => {
    stopping.abort()
    site.close()
    sessions.close()
    await started?.stop(bootstrap.stopTimeoutMs)
    const ended = await endStragglers(`HUTCH_RUN=${run}`)
    if (ended > 0) say(`${ended} processes had to be ended`)
    if (state.application === 'starting' || state.application === 'ready') become('ended', 'Stopped as asked.')
    await reporter?.flush(state.application === 'failed' ? lastReportMs.failed : lastReportMs.asked)
    reporter?.close()
    forwarder?.close()
    server.close()
    server.closeAllConnections()
    await folder?.remove()
    return code
  }

  return { stop: () => stopping.abort(), done: live() }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
