/** The web terminal over its WebSocket, as the page speaks it. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import test from 'ava'
import type { WebSocket } from 'ws'
import { readProcesses } from '../../images/agent/processes.ts'
import { openingWebSocket, startAgent, type RunningAgent } from '../support/agent.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

interface Terminal {
  readonly socket: WebSocket
  readonly messages: Record<string, unknown>[]
  readonly session: string
  readonly start: number
  output(): string
  /** Place of the next byte. */
  offset(): number
  closeCode(): number | undefined
  type(text: string): void
  tell(message: object): void
  /** Waits until the output holds this. */
  see(pattern: RegExp): Promise<string>
}

async function openTerminal(agent: RunningAgent, query = '', acknowledges = true): Promise<Terminal> {
  const port = await agent.port()
  const socket = openingWebSocket({ id: agent.id, key: agent.key, port }, `${agent.prefix}_hutch/terminal/ws?${query}`)
  const messages: Record<string, unknown>[] = []
  let output = ''
  let bytes = 0
  let closeCode: number | undefined
  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) return void messages.push(JSON.parse(data.toString()) as Record<string, unknown>)
    output = (output + data.toString()).slice(-2_000_000)
    bytes += data.length
    if (acknowledges) tell({ type: 'ack', bytes: data.length })
  })
  socket.on('close', (code) => (closeCode = code))
  const tell = (message: object): void => socket.send(JSON.stringify(message))
  const attached = await until(
    'the terminal is attached or closed',
    () => messages[0] ?? (closeCode ? {} : undefined),
    {
      timeoutMs: 30_000,
    },
  )
  const start = Number(attached['start'] ?? 0)
  return {
    socket,
    messages,
    session: String(attached['session']),
    start,
    output: () => output,
    offset: () => start + bytes,
    closeCode: () => closeCode,
    type: (text) => socket.send(Buffer.from(text)),
    tell,
    see: async (pattern) =>
      (await until(`the terminal shows ${pattern}`, () => pattern.exec(output)?.[0], { timeoutMs: 30_000 })) ?? '',
  }
}

const bash = { SHELL: '/bin/bash' }

test('the page comes with a policy, compressed, and only its own files are served', async (t) => {
  const agent = await startAgent(t)
  await agent.untilReady()
  const home = await agent.ask(agent.prefix)
  t.is(home.status, 302)
  t.is(home.headers.location, `${agent.prefix}_hutch/terminal/`)
  const page = await agent.ask(`${agent.prefix}_hutch/terminal/`)
  t.is(page.status, 200)
  t.regex(String(page.headers['content-security-policy']), /default-src 'none'; script-src 'self';/)
  t.is(page.headers['content-encoding'], 'gzip')
  for (const [path, status] of [
    ['_hutch/terminal', 302],
    ['_hutch/terminal/sessions', 200],
    ['_hutch/static/terminal.js', 200],
    ['_hutch/static/terminal.css', 200],
    ['_hutch/static/xterm.js', 200],
    ['_hutch/static/xterm.css', 200],
    ['_hutch/static/addon-fit.js', 200],
    ['_hutch/static/terminal.html', 404],
    ['_hutch/static/../terminal.js', 404],
    ['_hutch/static/%2e%2e/agent.ts', 404],
    ['_hutch/static/constructor', 404],
    ['_hutch/static/', 404],
    ['_hutch/terminal.js', 404],
    ['_hutch/', 404],
    ['_hutch', 404],
    ['anything', 404],
  ] as const) {
    t.is((await agent.ask(agent.prefix + path)).status, status, path)
  }
  t.is((await agent.ask(`${agent.prefix}_hutch/terminal/`, { method: 'POST' })).status, 405)
  const again = { headers: { 'If-None-Match': page.headers.etag } }
  t.is((await agent.ask(`${agent.prefix}_hutch/terminal/`, again)).status, 304)
})

test("the user's name is text on the page, whatever it holds", async (t) => {
  const agent = await startAgent(t, { bootstrap: { user: `<script>"'&` } })
  await agent.untilReady()
  const { bytes } = await agent.ask(`${agent.prefix}_hutch/terminal/`)
  t.regex(gunzipSync(bytes).toString(), /<title>Terminal · &#60;script&#62;&#34;&#39;&#38;<\/title>/)
})

test('a login shell of the user, in the start folder, that knows its size', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const terminal = await openTerminal(agent, 'columns=100&rows=30')
  t.like(terminal.messages[0], { type: 'attached', isNew: true, start: 0 })
  terminal.type('echo "<$(whoami)> <$PWD> <$(stty size)> <$TERM> <$(shopt -q login_shell && echo login)>"\n')
  await terminal.see(new RegExp(`<${userInfo().username}> <${agent.folder}> <30 100> <xterm-256color> <login>`))
  terminal.tell({ type: 'resize', columns: 132, rows: 43 })
  terminal.type('echo "<$(stty size)>"\n')
  await terminal.see(/<43 132>/)
  for (const size of [{ columns: 1e9, rows: -5 }, { columns: 'x' }, {}]) terminal.tell({ type: 'resize', ...size })
  terminal.type('echo "<<$(stty size)>>"\n')
  await terminal.see(/<<1 2>>/)
})

test('what an attacker of the protocol sends harms nobody', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const terminal = await openTerminal(agent)
  for (const text of [
    '',
    'x',
    '[]',
    'null',
    '{}',
    '{"type":"ack","bytes":-5}',
    '{"type":"ack","bytes":1e999}',
    '{"type":7}',
  ]) {
    terminal.socket.send(text)
  }
  terminal.type('echo al""ive\n')
  await terminal.see(/alive/)
  terminal.socket.send(Buffer.alloc(2 * 1024 * 1024))
  await once(terminal.socket, 'close')
  const next = await openTerminal(agent, `session=${terminal.session}`)
  t.is(next.session, terminal.session)
  const port = await agent.port()
  for (const query of [
    'session=../x',
    'session=',
    'columns=abc&rows=%00',
    'offset=99999999999999999999',
    'session=%ff',
  ]) {
    const socket = openingWebSocket(
      { id: agent.id, key: agent.key, port },
      `${agent.prefix}_hutch/terminal/ws?${query}`,
    )
    await once(socket, 'open')
    socket.terminate()
  }
  t.is((await agent.ask('/_agent/health')).status, 200)
  t.notRegex(agent.output(), /unexpected/)
})

test('a foreign page does not get a terminal, nor does who may only look', async (t) => {
  const agent = await startAgent(t)
  const port = await agent.untilReady()
  const link = { id: agent.id, key: agent.key, port }
  const path = `${agent.prefix}_hutch/terminal/ws`
  for (const [origin, role, isLetIn] of [
    ['https://evil.example', 'owner', false],
    ['null', 'owner', false],
    ['http://hutch.example.org:81', 'owner', false],
    ['https://hutch.example.org', 'viewer', false],
    ['https://hutch.example.org', 'owner', true],
  ] as const) {
    const headers = { host: 'hutch.example.org', 'x-hutch-role': role }
    const socket = openingWebSocket(link, path, { headers, origin })
    const result = await new Promise((resolve) => {
      socket.on('open', () => resolve(true))
      socket.on('unexpected-response', (_request, answer) =>
        resolve(answer.statusCode === 403 ? false : answer.statusCode),
      )
      socket.on('error', () => undefined)
    })
    t.is(result, isLetIn, origin)
    socket.terminate()
  }
})

test('who comes back gets exactly what was missed, and the job went on meanwhile', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const first = await openTerminal(agent)
  first.type('for i in $(seq 1 200); do echo "line-$i"; sleep 0.02; done; echo fin""ished\n')
  await first.see(/line-20\r/)
  first.socket.terminate()
  await once(first.socket, 'close')
  await sleep(500)
  const second = await openTerminal(agent, `session=${first.session}&offset=${first.offset()}`)
  t.is(second.start, first.offset())
  t.is(second.messages[0]?.['isNew'], false)
  await second.see(/finished/)
  const lines = [...(first.output() + second.output()).matchAll(/line-(\d+)\r/g)].map(([, number]) => Number(number))
  t.deepEqual(
    lines,
    Array.from({ length: 200 }, (_, index) => index + 1),
  )
  second.socket.terminate()
  const third = await openTerminal(agent, `session=${first.session}`)
  t.is(third.start, 0)
  await third.see(/line-1\r[^]*finished/)
})

test('too much output while away: the end of it is kept, from the beginning of a line', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const first = await openTerminal(agent)
  first.type('echo go""ing; sleep 0.5; seq 1000000 1299999; echo al""l; touch done; sleep 1000\n')
  await first.see(/going/)
  first.socket.terminate()
  await until('it has printed all', () => existsSync(join(agent.folder, 'done')), { timeoutMs: 60_000 })
  const second = await openTerminal(agent, `session=${first.session}&offset=${first.offset()}`)
  await second.see(/all\r\n$/)
  t.true(second.start > first.offset())
  t.true(Buffer.byteLength(second.output()) <= 512 * 1024)
  t.regex(second.output(), /^1\d{6}\r\n/)
  t.regex(second.output(), /1299999\r\nall\r\n$/)
})

test('one viewer at a time: who comes later takes it over', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const first = await openTerminal(agent)
  const second = await openTerminal(agent, `session=${first.session}`)
  await until('the first viewer is told', () => first.closeCode() === 4000)
  second.type('echo still he""re\n')
  await second.see(/still here/)
  t.is(first.closeCode(), 4000)
})

test('a flood waits for its reader, at both ends', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const terminal = await openTerminal(agent, '', false)
  terminal.type('yes "$(head -c 1000 /dev/zero | tr "\\\\0" y)" & sleep 1000\n')
  const reading = async (): Promise<number> => {
    await sleep(1_500)
    return terminal.offset()
  }
  const before = await until('the flood stands still', async () => {
    const [one, two] = [terminal.offset(), await reading()]
    return one === two && one > 100_000 ? one : undefined
  })
  t.true(before < 4 * 1024 * 1024, `it stopped at ${before}`)
  terminal.tell({ type: 'ack', bytes: before })
  await until('it goes on', () => terminal.offset() > before)
})

test('something pasted into a program that does not read waits outside', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const terminal = await openTerminal(agent)
  terminal.type('stty raw -echo; echo rea""dy; sleep 1000\n')
  await terminal.see(/ready/)
  const piece = Buffer.alloc(512 * 1024, 'x')
  for (let i = 0; i < 80; i += 1) terminal.socket.send(piece)
  const waiting = await until(
    'the sender stands still',
    async () => {
      const before = terminal.socket.bufferedAmount
      await sleep(3_000)
      const hasBegun = before < 80 * piece.length
      return hasBegun && before === terminal.socket.bufferedAmount ? { bytes: before } : undefined
    },
    { timeoutMs: 60_000 },
  )
  t.true(waiting.bytes > 8 * 1024 * 1024, `${waiting.bytes} bytes wait at the sender`)
  t.is((await agent.ask('/_agent/health')).status, 200)
})

test('characters that are split between pieces arrive whole', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const terminal = await openTerminal(agent)
  for (const byte of Buffer.from('echo "<€𝄞é>"\n')) terminal.socket.send(Buffer.from([byte]))
  t.is(await terminal.see(/\r<€𝄞é>\r/), '\r<€𝄞é>\r')
})

test('the end of a shell is told, and another can be opened', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const terminal = await openTerminal(agent)
  terminal.type('exit 7\n')
  await until('its end is told', () => terminal.messages.find(({ type }) => type === 'ended'))
  t.like(terminal.messages.at(-1), { type: 'ended', code: 7 })
  const late = await openTerminal(agent, `session=${terminal.session}`)
  t.is(late.closeCode(), 4404)
  const next = await openTerminal(agent)
  next.type('kill -KILL $$\n')
  await until('its end is told', () => next.messages.find(({ type }) => type === 'ended'))
  t.like(next.messages.at(-1), { type: 'ended', signal: 9 })
})

test('no more terminals than sixteen; the list shows them; closing makes room', async (t) => {
  const agent = await startAgent(t)
  const open = await Promise.all(Array.from({ length: 16 }, () => openTerminal(agent)))
  t.is((await openTerminal(agent)).closeCode(), 4429)
  const list = JSON.parse((await agent.ask(`${agent.prefix}_hutch/terminal/sessions`)).body) as { id: string }[]
  t.deepEqual(list.map(({ id }) => id).toSorted(), open.map(({ session }) => session).toSorted())
  open[0]?.tell({ type: 'close' })
  await until('there is room again', async () => (await openTerminal(agent)).closeCode() === undefined)
})

test('typing is activity, an open terminal is none', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const terminal = await openTerminal(agent)
  await sleep(500)
  const lastActivity = async (terminals = 1): Promise<string | undefined> => {
    const status = JSON.parse((await agent.ask('/_agent/status')).body) as {
      lastActivityAt?: string
      terminals: number
    }
    t.is(status.terminals, terminals)
    return status.lastActivityAt
  }
  t.is(await lastActivity(), undefined)
  // One of the staff in a shell beside it: it is not their environment.
  const link = { id: agent.id, key: agent.key, port: await agent.untilReady() }
  const headers = { 'x-hutch-role': 'administrator' }
  const staff = openingWebSocket(link, `${agent.prefix}_hutch/terminal/ws`, { headers })
  let seen = ''
  staff.on('message', (data: Buffer, isBinary) => (seen += isBinary ? data.toString() : ''))
  await once(staff, 'open')
  await until('the shell has said something', () => seen !== '')
  staff.send(Buffer.from('echo staff""here\n'))
  await until('the shell answers', () => seen.includes('staffhere'))
  t.is(await lastActivity(2), undefined, 'what the staff type does not count')
  staff.send(Buffer.from('exit\n'))
  await once(staff, 'close')
  const before = Date.now()
  terminal.type('\n')
  const at = await until('typing counts', () => lastActivity())
  t.true(Date.parse(at) >= before && Date.parse(at) <= Date.now())
})

test('the stop of the environment ends every shell and what runs in it', async (t) => {
  const agent = await startAgent(t, { env: bash })
  const pids = await Promise.all([
    pidIn(agent, 'sleep 3600 & echo "pid <$!>"'),
    pidIn(agent, `setsid sh -c 'echo "pid <$$>"; trap "" HUP TERM; while :; do sleep 1; done' & disown`),
  ])
  const found = (await readProcesses()).filter(({ pid }) => pids.includes(pid))
  t.is(found.length, 2)
  t.is(await agent.stop(), 0)
  const left = (await readProcesses()).filter(({ pid }) => pids.includes(pid))
  t.deepEqual(left, [])
})

async function pidIn(agent: RunningAgent, command: string): Promise<number> {
  const terminal = await openTerminal(agent)
  terminal.type(`${command}\n`)
  const [, pid = ''] = /<(\d+)>/.exec(await terminal.see(/pid <\d+>/)) ?? []
  return Number(pid)
}

test('a rescue terminal writes nothing to the home by itself, and leaves nothing behind', async (t) => {
  const home = await temporaryFolder(t)
  const agent = await startAgent(t, { env: { ...bash, HUTCH_RESCUE: '1', HOME: home } })
  await agent.untilReady()
  const terminal = await openTerminal(agent)
  await terminal.see(/Your home is \S+, where you are now/)
  terminal.type('echo "is $HUTCH_HOME $PWD $HOME."; touch ~/x; stat -c "mode %a." ~\n')
  await terminal.see(/mode 700\./)
  const [, real, here, other = ''] = /is (\S+) (\S+) (\S+)\./.exec(await terminal.see(/is \/\S+ \S+ \S+\./)) ?? []
  t.is(real, home)
  t.is(here, agent.folder)
  t.regex(other, /hutch-home-/)
  t.true(existsSync(join(other, 'x')))
  t.deepEqual(await readdir(home), [])
  await agent.stop()
  t.false(existsSync(other))
})
