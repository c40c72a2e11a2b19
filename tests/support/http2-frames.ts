/** Raw HTTP/2, as a browser never sends it: frames are written and read as bytes. */
import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'

export const frameTypes = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, window: 8, continuation: 9 }
export const flags = { endStream: 1, ack: 1, endHeaders: 4 }

interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export interface RawHttp2 {
  readonly socket: TLSSocket
  readonly frames: Frame[]
  readonly closed: () => boolean
  send(...frames: Buffer[]): void
}

export function frame(type: number, flag: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flag
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals that nothing indexes (RFC 7541 6.2.2). */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

export async function openRaw(port: number): Promise<RawHttp2> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] })
  let closed = false
  let pending = Buffer.alloc(0)
  const frames: Frame[] = []
  socket.on('error', () => {})
  socket.on('close', () => (closed = true))
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    while (pending.length >= 9) {
      const length = pending.readUIntBE(0, 3)
      if (pending.length < 9 + length) return
      const [type = 0, flag = 0] = [pending[3], pending[4]]
      frames.push({ type, flags: flag, stream: pending.readUInt32BE(5), payload: pending.subarray(9, 9 + length) })
      pending = pending.subarray(9 + length)
    }
  })
  await once(socket, 'secureConnect')
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(frameTypes.settings, 0, 0)]))
  return { socket, frames, closed: () => closed, send: (...all) => void socket.write(Buffer.concat(all)) }
}

/** Text without Huffman coding, its length as an integer with a prefix of 7 bits. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  const length: number[] = []
  if (bytes.length < 127) length.push(bytes.length)
  else {
    length.push(127)
    let left = bytes.length - 127
    while (left >= 128) {
      length.push((left % 128) + 128)
      left = Math.floor(left / 128)
    }
    length.push(left)
  }
  return Buffer.concat([Buffer.from(length), bytes])
}
