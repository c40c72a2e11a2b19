/**
 * A stream of bytes in which messages begin and end where they will, handed to a program of steps: however it is cut
 * into chunks, the program sees the same.
 */

/** `read`: held back and given to the program. `pass`: goes on as it comes. `drop`: goes nowhere. */
export type Step = Readonly<{ do: 'read' | 'pass' | 'drop'; bytes: number }> | Readonly<{ do: 'write'; data: Buffer }>

/** Gets what it read; the answer to any other step is empty. It throws RfbError where the stream makes no sense. */
export type Program = Generator<Step, never, Buffer>

/** What comes is not RFB, or not as much of it as is understood here: the connection must end. */
export class RfbError extends Error {}

export const read = (bytes: number): Step => ({ do: 'read', bytes })
export const pass = (bytes: number): Step => ({ do: 'pass', bytes })
export const drop = (bytes: number): Step => ({ do: 'drop', bytes })
export const write = (data: Buffer): Step => ({ do: 'write', data })

const nothing = Buffer.alloc(0)

/** A function that takes the next chunk and returns what goes on. @throws RfbError; it is not to be called again then. */
export function createCutter(program: Program): (chunk: Buffer) => Buffer[] {
  let step = program.next().value
  let done = 0
  let held: Buffer[] = []

  const advance = (answer: Buffer): void => {
    step = program.next(answer).value
    done = 0
    held = []
  }

  return (chunk) => {
    const out: Buffer[] = []
    for (let at = 0; ;) {
      if (step.do === 'write') {
        if (step.data.length > 0) out.push(step.data)
        advance(nothing)
        continue
      }
      const piece = chunk.subarray(at, at + step.bytes - done)
      at += piece.length
      done += piece.length
      if (step.do === 'pass' && piece.length > 0) out.push(piece)
      else if (step.do === 'read') held.push(piece)
      if (done < step.bytes) return out
      advance(held.length === 1 ? (held[0] ?? nothing) : Buffer.concat(held))
    }
  }
}
