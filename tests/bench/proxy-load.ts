/** The other end of the proxy benchmark, in a process of its own: a bare server, and bare clients. Driven over IPC. */
import { randomBytes } from 'node:crypto'
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { pskServer } from '../../images/agent/link.ts'

export type Command =
  | { do: 'serve'; pskKey?: string }
  | { do: 'requests'; port: number; head: string; connections: number; ms: number }
  | { do: 'download' | 'upload'; port: number; head: string; bytes: number }
  | { do: 'echo'; port: number; head: string; connections: number; ms: number }
  | { do: 'open'; port: number; head: string; connections: number }
  | { do: 'close' }
  /** Opens streams without end, and leaves in the middle of them. */
  | { do: 'readers'; port: number; head: string; connections: number }
  /** Of the server: streams without end that go on. */
  | { do: 'streams' }

export interface Measured {
  readonly port?: number
  readonly count?: number
  readonly seconds?: number
  readonly p50Ms?: number
  readonly p99Ms?: number
}

const small = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"kernels":[],"a":1}'
// The answer to the one key that the benchmark sends (RFC 6455 1.3).
const accept =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'
const block = Buffer.alloc(2 ** 18, 'x')

if (process.send !== undefined) {
  process.on('message', (command: Command) => {
    run(command).then(
      (measured) => process.send?.({ measured }),
      (error: unknown) => process.send?.({ error: String(error) }),
    )
  })
}

const open: Socket[] = []
let streams = 0
const longestRequestLine = 128
const headEnd = '\r\n\r\n'
const smallBodyBytes = 20
// fin, binary, 60 KiB
const frame = Buffer.concat([Buffer.from([0x82, 126, 0xf0, 0]), Buffer.alloc(0xf000)])

async function run(command: Command): Promise<Measured> {
  switch (command.do) {
    case 'serve':
      return await serve(command.pskKey)
    case 'requests':
      return await requests(command)
    case 'download':
    case 'upload':
      return await transfer(command)
    case 'echo':
      return await echo(command)
    case 'open':
      for (let index = 0; index < command.connections; index += 1) open.push(await opened(command.port, command.head))
      return { count: open.length }
    case 'close':
      for (const socket of open.splice(0)) socket.destroy()
      return {}
    case 'readers':
      return await readers(command)
    case 'streams':
      return { count: streams }
  }
}

async function serve(pskKey: string | undefined): Promise<Measured> {
  const server =
    pskKey === undefined
      ? createServer({ noDelay: true }, answer)
      : createTlsServer(
          pskServer(() => Buffer.from(pskKey, 'base64url')),
          answer,
        )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port }
}

/** By the path: …/down/<bytes>, …/up, …/ws, …/stream (frames without end), and …/api a small answer. */
function answer(socket: Socket): void {
  let mode: 'head' | 'upload' | 'echo' = 'head'
  let left = 0
  socket.on('error', () => {})
  socket.on('data', (data) => {
    if (mode === 'echo') return void socket.write(data)
    if (mode === 'upload') return received(data.length)
    // Most are these: the load must not be the limit.
    if (data.toString('latin1', 0, longestRequestLine).includes('/api HTTP')) return void socket.write(small)
    const end = data.indexOf('\r\n\r\n')
    const head = data.toString('latin1', 0, end)
    const path = head.slice(0, head.indexOf(' HTTP/'))
    if (path.includes('/down/')) return send(Number(path.split('/down/')[1]))
    if (path.endsWith('/ws')) {
      mode = 'echo'
      return void socket.write(accept)
    }
    if (path.endsWith('/stream')) return stream()
    if (path.endsWith('/up')) {
      mode = 'upload'
      left = Number(/content-length: (\d+)/i.exec(head)?.[1])
      return received(data.length - end - 4)
    }
    return void socket.write(small)
  })

  function received(bytes: number): void {
    left -= bytes
    if (left > 0) return
    mode = 'head'
    socket.write(small)
  }

  function stream(): void {
    streams += 1
    socket.on('close', () => (streams -= 1))
    socket.write(accept)
    const go = (): void => {
      while (!socket.destroyed) if (!socket.write(frame)) return void socket.once('drain', go)
    }
    go()
  }

  function send(bytes: number): void {
    let unsent = bytes
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`)
    const go = (): void => {
      while (unsent > 0) {
        const part = unsent < block.length ? block.subarray(0, unsent) : block
        unsent -= part.length
        if (!socket.write(part)) return void socket.once('drain', go)
      }
    }
    go()
  }
}

async function requests(command: Extract<Command, { do: 'requests' }>): Promise<Measured> {
  const until = performance.now() + command.ms
  const times: number[] = []
  const startedAt = performance.now()
  const bytes = Buffer.from(command.head, 'latin1')
  const workers = Array.from({ length: command.connections }, async () => {
    const socket = await connected(command.port)
    await new Promise<void>((resolve, reject) => {
      let sentAt = performance.now()
      let pending: Buffer | undefined
      socket.on('error', reject)
      socket.on('close', () => reject(new Error('the proxy closed the connection')))
      socket.on('data', (chunk) => {
        const data = pending === undefined ? chunk : Buffer.concat([pending, chunk])
        pending = data
        const end = data.indexOf(headEnd)
        if (end === -1 || data.length < end + headEnd.length + smallBodyBytes) return undefined
        pending = undefined
        if (data[9] !== 0x32) return reject(new Error(data.toString('latin1', 0, 200)))
        const now = performance.now()
        times.push(now - sentAt)
        if (now > until) {
          socket.removeAllListeners('close')
          socket.destroy()
          return resolve()
        }
        sentAt = now
        socket.write(bytes)
        return undefined
      })
      socket.write(bytes)
    })
  })
  await Promise.all(workers)
  const seconds = (performance.now() - startedAt) / 1_000
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN
  return { count: times.length, seconds, p50Ms: at(0.5), p99Ms: at(0.99) }
}

async function transfer({ do: kind, port, head, bytes }: Extract<Command, { bytes: number }>): Promise<Measured> {
  const startedAt = performance.now()
  await new Promise<void>((resolve, reject) => {
    let got = 0
    const socket = connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer: Buffer.alloc(2 ** 18),
        callback(count) {
          got += count
          if (kind === 'upload' || got >= bytes) resolve()
          return true
        },
      },
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`closed after ${got} bytes`)))
    socket.write(head, 'latin1')
    if (kind === 'download') return
    let unsent = bytes
    const go = (): void => {
      while (unsent > 0) {
        const part = unsent < block.length ? block.subarray(0, unsent) : block
        unsent -= part.length
        if (!socket.write(part)) return void socket.once('drain', go)
      }
    }
    go()
  })
  return { seconds: (performance.now() - startedAt) / 1_000 }
}

async function echo(command: Extract<Command, { do: 'echo' }>): Promise<Measured> {
  const payload = randomBytes(1_024)
  // fin, binary; masked with zeros: 1,024 bytes.
  const frame = Buffer.concat([Buffer.from([0x82, 0xfe, 0x04, 0x00, 0, 0, 0, 0]), payload])
  const until = performance.now() + command.ms
  let count = 0
  const sockets = await Promise.all(
    Array.from({ length: command.connections }, () => opened(command.port, command.head)),
  )
  const startedAt = performance.now()
  await Promise.all(
    sockets.map(
      (socket) =>
        new Promise<void>((resolve, reject) => {
          let got = 0
          socket.on('error', reject)
          socket.on('data', (data) => {
            got += data.length
            if (got < frame.length) return
            got = 0
            count += 1
            if (performance.now() > until) return resolve()
            socket.write(frame)
          })
          socket.write(frame)
        }),
    ),
  )
  const seconds = (performance.now() - startedAt) / 1_000
  for (const socket of sockets) socket.destroy()
  return { count, seconds }
}

async function readers(command: Extract<Command, { do: 'readers' }>): Promise<Measured> {
  const sockets = await Promise.all(
    Array.from({ length: command.connections }, () => opened(command.port, command.head)),
  )
  // They stop reading, everything behind them fills up, and then they are gone.
  for (const socket of sockets) socket.pause()
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  for (const socket of sockets) socket.destroy()
  return { count: sockets.length }
}

async function opened(port: number, head: string): Promise<Socket> {
  const socket = await connected(port)
  socket.write(head, 'latin1')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('data', (data) => {
      const text = data.toString('latin1')
      if (text.startsWith('HTTP/1.1 101')) resolve()
      else reject(new Error(text.slice(0, 200)))
    })
  })
  return socket
}

async function connected(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  return socket
}
