/**
 * The desktop through the proxy: from "ready" to the first picture of it, and what a 1080p terminal that scrolls all
 * the time costs. The viewer is a bare one: it takes every picture and draws none, so its own CPU is not counted.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import { createCutter } from '../../images/agent/desktop/rfb/cutter.ts'
import { encodings } from '../../images/agent/desktop/rfb/encodings.ts'
import { serverMessages } from '../../images/agent/desktop/rfb/server-messages.ts'
import { program } from '../support/component.ts'
import { runHutch, type RunningHutch } from '../support/hutch.ts'
import { processesOf } from '../support/processes.ts'
import { logInAs, type Launched, type Scientist } from '../support/scientist.ts'
import { until } from '../support/until.ts'
import { cpuMs, median, row } from './figures.ts'

const rounds = 5
const measuredMs = 10_000
const [width, height] = [1920, 1080]
const scrolling = 'i=0; while sleep 0.02; do i=$((i + 1)); echo "frame $i $(date) of a scan that goes on and on"; done'

export async function benchDesktop(folder: string): Promise<void> {
  if (program('Xvnc') === undefined || program('xfce4-terminal') === undefined) {
    row('desktop', { skipped: 'apt-get install tigervnc-standalone-server xfce4-terminal' })
    return
  }
  const file = join(folder, 'desktop.json')
  await writeFile(file, JSON.stringify(configuration))
  const hutch = await runHutch({ state: join(folder, 'desktop'), args: ['--config', file] })
  try {
    const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
    const firstMs: number[] = []
    for (let round = 0; round < rounds; round += 1) firstMs.push(await firstPicture(ada))
    row('desktop: from ready to its first picture', { median_ms: median(firstMs), most_ms: Math.max(...firstMs) })
    await scroll(hutch, ada)
  } finally {
    await hutch.stop()
  }
}

const common = { kind: 'desktop', flavours: ['large'], on: { here: {} } }
const configuration = {
  login: { demo: true },
  catalogue: { type: 'demo' },
  accounts: { source: 'demo' },
  flavours: { large: { title: 'Large', cpu: 4, memory: '4GiB' } },
  spawners: { here: { type: 'local', allowUnsandboxed: true, allowUnlimited: true } },
  profiles: {
    desktop: { title: 'Desktop', ...common },
    scroll: {
      title: 'Scroll',
      ...common,
      argv: ['xfce4-terminal', '--disable-server', '--fullscreen', '--hide-menubar', '-x', 'sh', '-c', scrolling],
    },
  },
}

async function firstPicture(ada: Scientist): Promise<number> {
  const launched = await launch(ada, 'desktop')
  const startedAt = performance.now()
  const viewer = await view(ada, launched)
  await until('there is a picture', () => viewer.pictures() > 0, { everyMs: 2, timeoutMs: 60_000 })
  const tookMs = performance.now() - startedAt
  viewer.close()
  await stop(ada, launched)
  return tookMs
}

async function scroll(hutch: RunningHutch, ada: Scientist): Promise<void> {
  const launched = await launch(ada, 'scroll')
  const viewer = await view(ada, launched)
  viewer.resize()
  await sleep(5_000)
  const proxy = JSON.parse(await readFile(join(hutch.state, 'run', 'proxy-process.json'), 'utf8')) as { pid: number }
  const pids = {
    xvnc: await processOf(launched.id, /^Xvnc\0/),
    agent: await processOf(launched.id, /^(?!bwrap|\/bin\/sh|sh).*agent\.cjs/s),
    proxy: proxy.pid,
  }
  const used = async () => await Promise.all(Object.values(pids).map(cpuMs))
  const [before, pictures, bytes] = [await used(), viewer.pictures(), viewer.bytes()]
  await sleep(measuredMs)
  const after = await used()
  const share = (index: number): number => ((after[index] ?? 0) - (before[index] ?? 0)) / measuredMs
  row(`desktop: a ${width} × ${height} terminal that scrolls`, {
    pictures_per_s: (viewer.pictures() - pictures) / (measuredMs / 1_000),
    kB_per_s: (viewer.bytes() - bytes) / measuredMs,
    xvnc_cores: share(0),
    agent_cores: share(1),
    proxy_cores: share(2),
  })
  viewer.close()
  await stop(ada, launched)
}

async function launch(ada: Scientist, profile: string): Promise<Launched> {
  const launched = await ada.launch({ profile, flavour: 'large' })
  await ada.enter(launched)
  return launched
}

async function stop(ada: Scientist, { id }: Launched): Promise<void> {
  await ada.api('POST', `/environments/${id}/stop`)
  await until('it ended', async () => (await ada.state(id)) === 'ended', { timeoutMs: 60_000 })
}

interface Viewer {
  pictures(): number
  bytes(): number
  resize(): void
  close(): void
}

/** Asks for the next picture as soon as one is whole, as viewers do. */
async function view(ada: Scientist, launched: Launched): Promise<Viewer> {
  const socket = ada.socket(launched, '_hutch/desktop/ws?window=benchmark')
  let [pictures, bytes] = [0, 0]
  let isGreeted = false
  const take = createCutter(followed())
  // Before it is open: the server speaks first.
  socket.on('message', (data: Buffer) => {
    bytes += data.length
    take(data)
  })
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  socket.send(Buffer.concat([Buffer.from('RFB 003.008\n'), Buffer.from([1, 1])]))
  const wanted = [encodings.tight, encodings.copyRectangle, encodings.lastRectangle, encodings.extendedDesktopSize, -26]
  const list = Buffer.alloc(4 + 4 * wanted.length)
  list[0] = 2
  list.writeUInt16BE(wanted.length, 2)
  for (const [index, each] of wanted.entries()) list.writeInt32BE(each, 4 + 4 * index)
  socket.send(list)
  ask(socket, false)

  /** The head of a picture has four bytes, of which the first is 0; what it is made of follows at once. */
  function* followed(): ReturnType<typeof serverMessages> {
    const messages = serverMessages()
    for (let step = messages.next().value; ;) {
      const got = yield step
      if (step.do === 'write' && step.data.length === 4 && step.data[0] === 0 && isGreeted) {
        pictures += 1
        ask(socket, true)
      }
      if (step.do === 'write' && step.data.length === 24) isGreeted = true
      step = messages.next(got).value
    }
  }

  return {
    pictures: () => pictures,
    bytes: () => bytes,
    resize() {
      const message = Buffer.alloc(8 + 16)
      message[0] = 251
      message.writeUInt16BE(width, 2)
      message.writeUInt16BE(height, 4)
      message[6] = 1
      message.writeUInt16BE(width, 16)
      message.writeUInt16BE(height, 18)
      socket.send(message)
    },
    close: () => socket.close(),
  }
}

function ask(socket: WebSocket, isIncremental: boolean): void {
  const message = Buffer.from([3, isIncremental ? 1 : 0, 0, 0, 0, 0, 0, 0, 0, 0])
  message.writeUInt16BE(0xffff, 6)
  message.writeUInt16BE(0xffff, 8)
  socket.send(message)
}

async function processOf(id: string, command: RegExp): Promise<number> {
  const found = (await processesOf(id)).find((each) => command.test(each.command))
  if (found === undefined) throw new Error(`nothing of ${id} is ${command.source}`)
  return found.pid
}
