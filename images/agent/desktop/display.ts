/**
 * An X server that nobody else can reach: pictures leave by one unix socket (0600 in a 0700 folder), programs come in
 * with a cookie of this start. It listens on no port and on no abstract socket.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { startProcess, type StartedProcess } from '../application.ts'
import type { LastLines } from '../last-lines.ts'
import { longestCutTextBytes } from './rfb/client-messages.ts'

export interface DisplayOptions {
  /** Where it listens for pictures. */
  readonly socket: string
  /** Private: the cookie goes there. */
  readonly folder: string
  readonly title: string
  readonly directory: string
  readonly environment: NodeJS.ProcessEnv
  readonly lines: LastLines
}

export interface Display {
  readonly process: StartedProcess
  /** What programs need to find it. Resolves when it draws; undefined: it ended before. */
  readonly ready: Promise<Readonly<{ DISPLAY: string; XAUTHORITY: string }> | undefined>
}

/** Before the first window tells its own size; what fits into most of them. */
const firstSize = '1280x800'
const greetingMs = 5_000

export async function startDisplay(options: DisplayOptions): Promise<Display> {
  const { socket, folder, title, directory, environment, lines } = options
  const cookies = join(folder, 'xauthority')
  await writeFile(cookies, authority(randomBytes(16)), { mode: 0o600 })
  const started = startProcess({
    argv: ['Xvnc', ...xvncArguments({ socket, cookies, title })],
    directory,
    environment,
    lines,
    hasExtra: true,
  })
  return { process: started, ready: untilDrawing(started, socket, cookies) }
}

/** Shown to everybody on the machine by ps: there is no secret in it. */
export function xvncArguments({
  socket,
  cookies,
  title,
}: {
  socket: string
  cookies: string
  title: string
}): string[] {
  return [
    // It finds a free number itself, and says which.
    ['-displayfd', '3'],
    ['-rfbport', '-1', '-rfbunixpath', socket, '-rfbunixmode', '0600'],
    // The socket is the lock; VncAuth has eight characters, and would be one more secret.
    ['-SecurityTypes', 'None', '-UseBlacklist=0'],
    ['-auth', cookies, '-nolisten', 'tcp', '-nolisten', 'local'],
    ['-geometry', firstSize, '-depth', '24', '-dpi', '96', '-desktop', title],
    ['-AlwaysShared', '-DisconnectClients=0', '-AcceptSetDesktopSize', '-noreset'],
    // What is merely marked with the mouse stays in the desktop.
    ['-SendPrimary=0', '-SetPrimary=0', `-MaxCutText=${longestCutTextBytes}`],
    // The page decides by its own setting; sleep and screen savers are the laptop's.
    ['-IdleTimeout=0', '-s', '0', '-dpms'],
    ['-FrameRate=60', '-CompareFB=2'],
  ].flat()
}

async function untilDrawing(
  started: StartedProcess,
  socket: string,
  cookies: string,
): Promise<Awaited<Display['ready']>> {
  const number = await numberOf(started)
  if (number === undefined || !(await greets(socket, started.over))) return undefined
  return { DISPLAY: `:${number}`, XAUTHORITY: cookies }
}

async function numberOf({ extra, over }: StartedProcess): Promise<string | undefined> {
  if (extra === undefined) return undefined
  let text = ''
  try {
    while (!text.includes('\n') && text.length < 16) {
      const [chunk] = (await once(extra, 'data', { signal: over })) as [Buffer]
      text += chunk.toString('latin1')
    }
  } catch {
    // It ended before it had a number, which is told elsewhere.
    return undefined
  }
  return /^(\d+)\n/.exec(text)?.[1]
}

/** RFC 6143, 7.1.1: whoever serves speaks first. */
function greets(path: string, over: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const asking = createConnection({ path, signal: over })
    asking.setTimeout(greetingMs, () => asking.destroy())
    asking.once('data', (chunk: Buffer) => {
      resolve(chunk.toString('latin1').startsWith('RFB 003.008'))
      asking.destroy()
    })
    asking.on('error', () => resolve(false))
    asking.on('close', () => resolve(false))
  })
}

/** Xauthority(5): one cookie for whatever display it is (FamilyWild), as its number is not known yet. */
function authority(cookie: Buffer): Buffer {
  const field = (data: Buffer): Buffer => Buffer.concat([Buffer.from([data.length >> 8, data.length & 0xff]), data])
  const nothing = field(Buffer.alloc(0))
  return Buffer.concat([
    Buffer.from([0xff, 0xff]),
    nothing,
    nothing,
    field(Buffer.from('MIT-MAGIC-COOKIE-1')),
    field(cookie),
  ])
}
