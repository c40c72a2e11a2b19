/** A desktop environment whole: the display and its session, its place in the site, and JupyterLab beside it. */
import { join } from 'node:path'
import type { RunningApplication } from '../application.ts'
import { createBeside, type Beside } from '../beside.ts'
import type { LastLines } from '../last-lines.ts'
import type { Assets } from '../site/assets.ts'
import type { Place } from '../site/index.ts'
import type { SocketFolder } from '../socket-folder.ts'
import { startDesktop, type RunningDesktop } from './desktop.ts'
import { createFiles } from './files.ts'
import { createKeyboards } from './keyboards.ts'
import type { Root } from './paths.ts'
import { createDesktopPlace } from './place.ts'
import { findOnPath } from '../executable.ts'

export interface DesktopKindOptions {
  /** The session's command. */
  readonly argv: readonly string[]
  readonly user: string
  readonly directory: string
  readonly environment: NodeJS.ProcessEnv
  readonly roots: readonly Root[]
  readonly startTimeoutMs: number
  readonly lines: LastLines
  readonly assets: Assets
  readonly onInput: () => void
  readonly say: (line: string) => void
  /** JupyterLab on this socket, its environment completed by what is given. */
  readonly startNotebook: (socket: string, environment: NodeJS.ProcessEnv) => RunningApplication
  readonly onNotebook: (socket: string) => void
}

export interface DesktopKind {
  readonly place: Place
  start(folder: SocketFolder): RunningApplication
  beside(): ReturnType<Beside['forwarder']>
  /** What is beside it; the desktop itself is stopped as the application that it is. */
  stopBeside(graceMs: number): Promise<void>
}

export function createDesktop(options: DesktopKindOptions): DesktopKind {
  const { argv, user, directory, environment, assets, roots, startTimeoutMs, lines, onInput, say } = options
  const hasNotebook = findOnPath('jupyter-lab', environment['PATH'] ?? '') !== undefined
  let running: RunningDesktop | undefined
  let beside: Beside | undefined
  let socket: string | undefined

  const place = createDesktopPlace({
    assets,
    user,
    socketPath: () => socket,
    files: createFiles({ roots }),
    keyboards: createKeyboards(() => running?.environment()),
    hasNotebook: () => hasNotebook,
    onInput,
    say,
  })
  return {
    place,
    start(folder) {
      socket = folder.socket
      running = startDesktop({ argv, title: user, directory, environment, folder, startTimeoutMs, lines })
      const own = running
      const notebookSocket = join(folder.runtime, 'lab.sock')
      beside = createBeside({
        isThere: () => hasNotebook,
        socketPath: notebookSocket,
        // With the display, so that a notebook can open a window.
        start: () =>
          options.startNotebook(notebookSocket, { ...own.environment(), JUPYTER_RUNTIME_DIR: folder.runtime }),
        onReady: () => options.onNotebook(notebookSocket),
        say,
      })
      return own
    },
    beside: () => beside?.forwarder(),
    stopBeside: async (graceMs) => await beside?.stop(graceMs),
  }
}
