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

export interface Measured {
  readonly port?: number
  readonly count?: number
  readonly seconds?: number
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

/** By the path: …/down/<bytes>, …/up, …/ws, and anything else a small answer. */
function answer(socket: Socket): void {
  let mode: 'head' | 'upload' | 'echo' = 'head'
  let left = 0
  socket.on('error', () => {})
  socket.on('data', (data) => {
    if (mode === 'echo') return void socket.write(data)
    if (mode === 'upload') return received(data.length)
    const end = data.indexOf('\r\n\r\n')
    const head = data.toString('latin1', 0, end)
    const path = head.slice(0, head.indexOf(' HTTP/'))
    if (path.includes('/down/')) return send(Number(path.split('/down/')[1]))
    if (path.endsWith('/ws')) {
      mode = 'echo'
      return void socket.write(accept)
    }
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
      let length = 0
      let got = 0
      socket.on('error', reject)
      socket.on('close', () => reject(new Error('the proxy closed the connection')))
      socket.on('data', (data) => {
        got += data.length
        if (length === 0) {
          const text = data.toString('latin1')
          if (!text.startsWith('HTTP/1.1 200')) return reject(new Error(text.slice(0, 200)))
          const body = text.indexOf('\r\n\r\n') + 4
          length = body + Number(/content-length: (\d+)/i.exec(text)?.[1])
        }
        if (got < length) return undefined
        // Heads differ in length from one answer to the next (dates, ids): each is measured anew.
        got = 0
        length = 0
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
  return { count: times.length, seconds, p99Ms: times[Math.floor(times.length * 0.99)] ?? Number.NaN }
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
