/** The disk of the state folder, homes and logs fills up while people work, and is emptied again. Real: a small tmpfs. */
import { execFile } from 'node:child_process'
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { available, program } from '../support/component.ts'
import { hostileConfiguration } from '../support/hostile-application.ts'
import { startHutch } from '../support/hutch.ts'
import { logInAs, type Launched, type Scientist } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)
const diskMiB = 80

test('a disk that fills up refuses launches in a sentence, ends nothing, and loses nothing', async (t) => {
  t.timeout(400_000)
  if (!available(t, 'root', process.getuid?.() === 0 && program('mount'), 'run the tests as root')) return
  const folder = await temporaryFolder(t)
  const state = await smallDisk(t, join(folder, 'disk'))
  const file = join(folder, 'hutch.json')
  await writeFile(file, hostileConfiguration({ agents: { silentAfter: '2s' } }))
  const hutch = await startHutch(t, { state, args: ['--config', file] })
  const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
  const running = await ada.launch({ profile: 'terminal', flavour: 'small', title: 'Before' })
  await ada.enter(running)
  const terminal = await openTerminal(t, ada, running)
  t.regex(await terminal.run('echo kept > kept.txt && cat kept.txt'), /kept/)

  const room = await fill(t, state)
  for (const attempt of [1, 2]) {
    const { status, body } = await ada.api<{ detail?: string; id?: string }>('POST', '/environments', {
      profile: 'terminal',
      flavour: 'small',
      proposals: [],
      title: `While it is full ${attempt}`,
    })
    if (status === 201) t.regex(await endOf(ada, body.id ?? ''), /disk is full/)
    else {
      t.is(status, 503)
      t.regex(body.detail ?? '', /disk is full.*What is open goes on.*administrator/)
    }
    t.notRegex(
      JSON.stringify(body),
      /ENOSPC|SQLITE|hutch\.sqlite|\/tmp\//,
      'what is for the administrator is in the log',
    )
  }
  t.regex(await terminal.run('echo more > more.txt; echo "code $?"'), /No space left on device[^]*code 1/)
  t.regex(await terminal.run('cat kept.txt'), /kept/)
  t.is((await ada.jar.open(`${hutch.url}/hub/home`)).status, 200)
  await sleep(8_000)
  t.is(await ada.state(running.id), 'ready', 'what can not be noted changes nothing')

  await room.make()
  const after = await ada.launch({ profile: 'terminal', flavour: 'small', title: 'After' })
  await ada.enter(after)
  t.is(await ada.state(running.id), 'ready')
  t.regex(await terminal.run('echo again >> kept.txt && cat kept.txt'), /kept\s+again/)
  const { body } = await ada.api<{ items: { title: string; state: string }[] }>('GET', '/environments')
  const live = body.items.filter(({ state: is }) => is !== 'ended').map(({ title }) => title)
  t.deepEqual(live.toSorted(), ['After', 'Before'])
  t.notRegex(await readFile(join(state, 'logs', 'proxy.log'), 'utf8'), /a connection was given up because of an error/)
  t.is(await hutch.stop(), 0)
})

async function smallDisk(t: ExecutionContext, path: string): Promise<string> {
  await mkdir(path)
  await run('mount', ['-t', 'tmpfs', '-o', `size=${diskMiB}m,mode=0755`, 'tmpfs', path])
  // Lazily: what the test started may have a moment left.
  t.teardown(() => run('umount', ['--lazy', path]))
  return path
}

/** To the last byte; what is deleted meanwhile is filled too, until there is to be room again. */
async function fill(t: ExecutionContext, state: string): Promise<{ make(): Promise<void> }> {
  const path = join(state, 'filler')
  const file = await open(path, 'a')
  const more = async (): Promise<void> => {
    for (const bytes of [2 ** 20, 4_096]) {
      const block = Buffer.alloc(bytes, 'x')
      while (await file.write(block).then(({ bytesWritten }) => bytesWritten === bytes, isFull));
    }
  }
  await more()
  const timer = setInterval(() => void more(), 200)
  t.teardown(() => clearInterval(timer))
  return {
    async make() {
      clearInterval(timer)
      await sleep(300)
      await file.close()
      await rm(path)
    },
  }
}

function isFull(error: NodeJS.ErrnoException): false {
  if (error.code !== 'ENOSPC') throw error
  return false
}

async function endOf(scientist: Scientist, id: string): Promise<string> {
  let message = ''
  await until(
    'it ended',
    async () => {
      const { body } = await scientist.api<{ state: string; message?: string }>('GET', `/environments/${id}`)
      message = body.message ?? ''
      return body.state === 'ended'
    },
    { timeoutMs: 60_000 },
  )
  return message
}

interface Terminal {
  /** What the terminal shows until the command is over. */
  run(command: string): Promise<string>
}

async function openTerminal(t: ExecutionContext, scientist: Scientist, launched: Launched): Promise<Terminal> {
  const socket = scientist.socket(launched, '_hutch/terminal/ws')
  t.teardown(() => socket.terminate())
  let output = ''
  socket.on('message', (data: Buffer, isBinary) => (output += isBinary ? data.toString() : ''))
  // What goes wrong is missed in what it shows.
  socket.on('error', () => undefined)
  await until('the shell has said something', () => output !== '', { timeoutMs: 60_000 })
  let count = 0
  return {
    async run(command) {
      count += 1
      const from = output.length
      // The shell's echo of the command line has the quotes, its output has not.
      socket.send(Buffer.from(`${command}; echo "over"-${count}\r`))
      await until(`the end of ${command}`, () => output.slice(from).includes(`over-${count}`), { timeoutMs: 30_000 })
      return output.slice(from)
    },
  }
}
