/** A desktop as an application: the X server, then the session on it; it ends with either. */
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess, type Exit, type RunningApplication, type StartedProcess } from '../application.ts'
import type { LastLines } from '../last-lines.ts'
import type { SocketFolder } from '../socket-folder.ts'
import { startDisplay } from './display.ts'
import { removeLeftovers } from './leftovers.ts'
import { missingForDesktop } from './programs.ts'
import { prepareSession } from './session.ts'

export interface DesktopOptions {
  /** The session's. */
  readonly argv: readonly string[]
  readonly title: string
  readonly directory: string
  readonly environment: NodeJS.ProcessEnv
  readonly folder: SocketFolder
  readonly startTimeoutMs: number
  readonly lines: LastLines
}

export interface RunningDesktop extends RunningApplication {
  /** What programs of this session need to find its display. Undefined before it is there. */
  environment(): NodeJS.ProcessEnv | undefined
}

export function startDesktop(options: DesktopOptions): RunningDesktop {
  const { argv, title, directory, environment, folder, startTimeoutMs, lines } = options
  const missing = missingForDesktop(argv, environment['PATH'] ?? '')
  if (missing !== undefined) return neverStarted(missing)
  const stopping = new AbortController()
  const running: { display?: StartedProcess; session?: StartedProcess; environment?: NodeJS.ProcessEnv } = {}

  const begin = async (): Promise<'ready' | undefined> => {
    const display = await startDisplay({
      socket: folder.socket,
      folder: folder.runtime,
      title,
      directory,
      environment,
      lines,
    })
    running.display = display.process
    const found = await display.ready
    if (found === undefined || stopping.signal.aborted) return undefined
    const session = await prepareSession({ argv, environment, folder: folder.runtime, display: found })
    if (display.process.over.aborted || stopping.signal.aborted) return undefined
    running.environment = session.environment
    running.session = startProcess({ ...session, directory, lines })
    return 'ready'
  }
  const begun = begin()
  const timer = new AbortController()
  const late = sleep(startTimeoutMs, 'late' as const, { signal: timer.signal }).catch(() => undefined)

  return {
    ready: Promise.race([begun.catch(() => undefined), late]).finally(() => timer.abort()),
    exit: exitOf(begun, running),
    environment: () => running.environment,
    async stop(graceMs) {
      stopping.abort()
      // A display that never came must not be waited for.
      if (running.session === undefined) await running.display?.stop(1_000)
      await begun.catch(() => undefined)
      // The session first: programs may want to save something, and can't without a display.
      await running.session?.stop(graceMs)
      await running.display?.stop(1_000)
      if (running.session !== undefined) await removeLeftovers(environment['TMPDIR'] ?? '/tmp')
    },
  }
}

async function exitOf(
  begun: Promise<unknown>,
  running: { display?: StartedProcess; session?: StartedProcess },
): Promise<Exit> {
  try {
    await begun
  } catch (error) {
    return { is: 'failed', code: 1, message: `The desktop can't be started: ${(error as Error).message}` }
  }
  const { display, session } = running
  if (display === undefined) return { is: 'failed', code: 1, message: "The desktop can't be started." }
  const ended = display.exit.then((exit): Exit => {
    const { message } = exit
    return { is: 'failed', code: exit.code === 0 ? 1 : exit.code, message: message.replace('application', 'display') }
  })
  if (session === undefined) return await ended
  return await Promise.race([ended, session.exit.then(loggedOut)])
}

/** Logging out of the session is how people end a desktop. */
function loggedOut(exit: Exit): Exit {
  return exit.is === 'ended' ? { ...exit, message: 'The desktop session was ended.' } : exit
}

function neverStarted(message: string): RunningDesktop {
  const exit: Exit = { is: 'failed', code: 127, message }
  return {
    ready: Promise.resolve(undefined),
    exit: Promise.resolve(exit),
    environment: () => undefined,
    stop: () => Promise.resolve(),
  }
}
