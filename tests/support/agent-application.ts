/** A small web application as an agent starts one: node agent-application.ts MODE SOCKET [FILE]. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { WebSocketServer } from 'ws'

const [, , mode = 'web', socketPath = '', file = ''] = process.argv
const piece = Buffer.alloc(64 * 1024, 'x')

switch (mode) {
  case 'exit':
    process.stdout.write('the licence server is away\n')
    process.exit(3)
  case 'mute':
    process.stdout.write('never listening\n')
    setInterval(() => undefined, 1_000)
    break
  case 'stubborn':
    stubborn()
    serve()
    break
  case 'web':
  default:
    serve()
}

/** Ignores SIGTERM, and leaves a process in a session of its own whose parent is gone. */
function stubborn(): void {
  process.on('SIGTERM', () => undefined)
  const script = `
    const far = require('node:child_process').spawn('sleep', ['3600'], { detached: true, stdio: 'ignore' })
    require('node:fs').writeFileSync(${JSON.stringify(file)}, String(far.pid))
    process.exit(0)`
  spawn(process.execPath, ['-e', script], { detached: true, stdio: 'ignore' })
}

function serve(): void {
  const server = createServer(answer)
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (incoming, socket, head) => {
    if (incoming.url?.endsWith('/refused')) {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nConnection: close\r\n\r\nnot so')
      return
    }
    sockets.handleUpgrade(incoming, socket, head, (open) => {
      open.on('message', (data: Buffer, isBinary) => open.send(data, { binary: isBinary }))
    })
  })
  server.listen(socketPath)
  if (file !== '' && mode === 'web')
    writeFileSync(file, JSON.stringify({ directory: process.cwd(), argv: process.argv }))
}

function answer(incoming: IncomingMessage, response: ServerResponse): void {
  const path = new URL(incoming.url ?? '/', 'http://localhost').pathname
  const name = path.slice(path.lastIndexOf('/') + 1)
  switch (name) {
    case 'headers':
      response.setHeader('Content-Type', 'application/json')
      response.setHeader('Set-Cookie', ['a=1', 'b=2'])
      response.end(JSON.stringify({ url: incoming.url, raw: incoming.rawHeaders }))
      break
    case 'digest': {
      const hash = createHash('sha256')
      incoming.on('data', (chunk: Buffer) => hash.update(chunk))
      incoming.on('end', () => response.end(hash.digest('hex')))
      break
    }
    case 'endless':
      pour(response)
      break
    case 'broken':
      response.writeHead(200, { 'Content-Length': 1_000_000 })
      response.write('half')
      setTimeout(() => response.destroy(), 50)
      break
    default:
      response.end('here')
  }
}

/** Sends without end, and prints how much the socket took: back-pressure shows in it. */
function pour(response: ServerResponse): void {
  let sent = 0
  const go = (): void => {
    while (!response.destroyed) {
      sent += piece.length
      if (!response.write(piece)) break
    }
  }
  response.on('drain', go)
  response.on('close', () => process.stdout.write(`poured ${sent}\n`))
  go()
}
