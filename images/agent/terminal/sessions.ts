/** The terminals of this environment: at most `most` at once, each a login shell of the user. */
import { randomBytes } from 'node:crypto'
import { userInfo } from 'node:os'
import { isExecutable } from '../executable.ts'
import { createSession, type Session } from './session.ts'

export interface Sessions {
  /** Undefined when there are too many already. @throws when no shell can be started. */
  open(size: Readonly<{ columns: number; rows: number }>): Promise<Session | undefined>
  find(id: string): Session | undefined
  list(): readonly Session[]
  /** Hangs up on all of them. */
  close(): void
}

export interface SessionsOptions {
  readonly directory: string
  readonly environment: NodeJS.ProcessEnv
  readonly now: () => Date
  readonly most?: number
}

export function createSessions({ directory, environment, now, most = 16 }: SessionsOptions): Sessions {
  const open = new Map<string, Session>()
  // Loaded now: its binary may be replaced by a newer agent's while this one runs. Without one there is no terminal.
  const loading = import('node-pty')
  loading.catch(() => undefined)
  return {
    async open({ columns, rows }) {
      const { spawn } = await loading
      if (open.size >= most) return undefined
      const id = randomBytes(12).toString('hex')
      const pty = spawn(findShell(environment), ['-l'], {
        name: 'xterm-256color',
        cols: Math.min(1_000, Math.max(2, columns)),
        rows: Math.min(500, Math.max(1, rows)),
        cwd: directory,
        env: { LANG: 'C.UTF-8', ...environment, COLORTERM: 'truecolor', TERM_PROGRAM: 'hutch' },
        // Bytes: the browser decodes, so that a character split between two chunks survives.
        encoding: null,
      })
      const session = createSession({ id, pty, startedAt: now(), onEnd: () => open.delete(id) })
      open.set(id, session)
      return session
    },
    find: (id) => open.get(id),
    list: () => [...open.values()],
    close() {
      for (const session of open.values()) session.close()
    },
  }
}

/** The account's own, as the spawner or passwd says; in an image that lacks it, what is there. */
function findShell({ SHELL }: NodeJS.ProcessEnv): string {
  const wanted = [SHELL, shellOfPasswd(), '/bin/bash', '/usr/bin/bash', '/bin/sh']
  return wanted.find((path) => path !== undefined && path !== '' && isExecutable(path)) ?? '/bin/sh'
}

/** Numeric ids need no passwd entry in a container. */
function shellOfPasswd(): string | undefined {
  try {
    return userInfo().shell ?? undefined
  } catch {
    return undefined
  }
}
