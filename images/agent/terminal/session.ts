/** One shell on a pseudo-terminal. It outlives its viewer, who may come back to what was printed meanwhile. */
import type { IPty } from 'node-pty'
import { createTerminalInput } from './input.ts'
import { createScrollback } from './scrollback.ts'

export interface Viewer {
  output(data: Buffer): void
  /** The shell is gone. */
  ended(exit: Readonly<{ code: number; signal: number }>): void
  /** Somebody else looks at it now. */
  replaced(): void
}

export interface Session {
  readonly id: string
  readonly isWatched: boolean
  readonly startedAt: Date
  /** The name of what runs in the foreground. */
  title(): string
  /** Shows it to this viewer alone, from `offset` on. Returns the place of the first byte that will come. */
  attach(viewer: Viewer, offset: number): Readonly<{ start: number; replay: Buffer }>
  detach(viewer: Viewer): void
  input(data: Buffer): void
  /** The shell does not take what is typed as fast as it comes. */
  isCongested(): boolean
  resize(columns: number, rows: number): void
  /** The viewer has taken in this many bytes: with too many under way the shell waits. */
  acknowledge(bytes: number): void
  close(): void
}

export interface SessionOptions {
  readonly id: string
  readonly pty: IPty
  readonly startedAt: Date
  readonly onEnd: () => void
}

const keptBytes = 512 * 1024
/** Sent and not yet acknowledged: one full screen takes about 10 KiB, a long round trip at 10 Mbit/s about 250 KiB. */
const pauseAtBytes = 1024 * 1024
const resumeAtBytes = 256 * 1024
const mostInputBytes = 1024 * 1024
const mostColumns = 1_000
const mostRows = 500

export function createSession({ id, pty, startedAt, onEnd }: SessionOptions): Session {
  const scrollback = createScrollback(keptBytes)
  const input = createTerminalInput(pty)
  let viewer: Viewer | undefined
  let underWay = 0
  let isPaused = false
  let isOver = false
  let usesWholeScreen = false

  const regulate = (): void => {
    if (isOver) return
    if (!isPaused && viewer && underWay > pauseAtBytes) pty.pause()
    else if (isPaused && (!viewer || underWay < resumeAtBytes)) pty.resume()
    else return
    isPaused = !isPaused
  }

  pty.onData((data: string | Buffer) => {
    const chunk = typeof data === 'string' ? Buffer.from(data) : data
    usesWholeScreen = wholeScreenAfter(usesWholeScreen, chunk)
    scrollback.push(chunk)
    if (!viewer) return
    underWay += chunk.length
    viewer.output(chunk)
    regulate()
  })
  pty.onExit(({ exitCode, signal }) => {
    isOver = true
    input.close()
    onEnd()
    viewer?.ended({ code: exitCode, signal: signal ?? 0 })
  })

  const resize = (columns: number, rows: number): void => {
    if (isOver) return
    pty.resize(bounded(columns, 2, mostColumns), bounded(rows, 1, mostRows))
  }
  return {
    id,
    startedAt,
    get isWatched() {
      return viewer !== undefined
    },
    title: () => pty.process,
    attach(next, offset) {
      viewer?.replaced()
      viewer = next
      const { start, data } = scrollback.since(offset)
      underWay = data.length
      // An editor draws only what changes: what was cut away comes back when it draws all of it for a new size.
      if (usesWholeScreen && start !== offset && pty.rows > 1) {
        const { cols, rows } = pty
        pty.resize(cols, rows - 1)
        setTimeout(() => resize(cols, rows), 100).unref()
      }
      regulate()
      return { start, replay: data }
    },
    detach(leaving) {
      if (viewer !== leaving) return
      viewer = undefined
      underWay = 0
      // Nobody looks, and what runs should not wait for that.
      regulate()
    },
    input: (data) => input.write(data),
    isCongested: () => input.waitingBytes > mostInputBytes,
    resize,
    acknowledge(bytes) {
      underWay = Math.max(0, underWay - bytes)
      regulate()
    },
    close() {
      if (!isOver) pty.kill('SIGHUP')
    },
  }
}

/** xterm's alternate screen (private modes 1049, 1047, 47), as editors and pagers use it. */
function wholeScreenAfter(before: boolean, chunk: Buffer): boolean {
  const text = chunk.toString('latin1')
  const on = Math.max(...['1049h', '1047h', '47h'].map((mode) => text.lastIndexOf(`\u001b[?${mode}`)))
  const off = Math.max(...['1049l', '1047l', '47l'].map((mode) => text.lastIndexOf(`\u001b[?${mode}`)))
  return on === off ? before : on > off
}

function bounded(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, Math.trunc(Number.isFinite(value) ? value : least)))
}
