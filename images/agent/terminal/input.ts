/**
 * What is typed, on its way into a pseudo-terminal. node-pty writes through libuv, which spins, with the whole
 * process, until the program reads; this one waits beside.
 */
import { writeSync } from 'node:fs'
import type { IPty } from 'node-pty'

export interface TerminalInput {
  write(data: Buffer): void
  /** Bytes that the program has not taken yet. */
  readonly waitingBytes: number
  close(): void
}

const retryMs = 10
/** The kernel's own queue holds 4 KiB; a hundred of them are a long paste, and leave other requests their turn. */
const mostAtOnceBytes = 64 * 1024

export function createTerminalInput(pty: IPty): TerminalInput {
  const waiting: Buffer[] = []
  let waitingBytes = 0
  let timer: NodeJS.Timeout | undefined
  let isClosed = false

  const flush = (): void => {
    timer = undefined
    for (let written = 0; written < mostAtOnceBytes;) {
      const [first] = waiting
      if (first === undefined || isClosed) return
      const bytes = tryWrite(pty, first)
      if (bytes === undefined) break
      written += bytes
      waitingBytes -= bytes
      if (bytes === first.length) waiting.shift()
      else waiting[0] = first.subarray(bytes)
    }
    timer = setTimeout(flush, retryMs)
  }

  return {
    write(data) {
      if (isClosed || data.length === 0) return
      waiting.push(data)
      waitingBytes += data.length
      if (timer === undefined) flush()
    },
    get waitingBytes() {
      return waitingBytes
    },
    close() {
      isClosed = true
      clearTimeout(timer)
      waiting.length = 0
      waitingBytes = 0
    },
  }
}

/** Undefined: the program does not read just now. The descriptor does not block: node-pty sets it so. */
function tryWrite(pty: IPty, data: Buffer): number | undefined {
  const { fd, _socket: socket } = pty as IPty & { fd?: number; _socket?: { destroyed: boolean } }
  // A number that was given back may name something else by now.
  if (fd === undefined || socket?.destroyed !== false) return data.length
  try {
    return writeSync(fd, data)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // After anything but "not now" nobody is left to read it.
    return code === 'EAGAIN' ? undefined : data.length
  }
}
