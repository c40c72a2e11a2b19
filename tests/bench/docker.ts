/**
 * Docker: from the click on "launch" to JupyterLab's first answer, and to a desktop that draws, against `docker run` of the same image by hand, in
 * interleaved rounds of one run. Goal: at most 5 % and 200 ms more. And an idle environment's memory, both ways.
 */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { defaultApplication } from '../../images/agent/applications.ts'
import { fillIn } from '../../images/agent/placeholders.ts'
import { startDocker, type TestDocker } from '../support/docker.ts'
import { people, startDockerHub } from '../support/dockerHub.ts'
import { logInAs, type Scientist } from '../support/scientist.ts'
import { until } from '../support/until.ts'
import { contextOf } from './context.ts'
import { median, row } from './figures.ts'

const rounds = 5
/** Not oftener: who asks takes time from what is asked about. */
const patience = { timeoutMs: 120_000, everyMs: 25 }

interface Took {
  readonly ms: number
  readonly bytes: number
  /** What had happened when, in ms since the click. */
  readonly stages: Readonly<Record<string, number>>
}

/** One thing that is launched both ways. */
interface Kind {
  readonly title: string
  readonly profile: string
  readonly image: string
  /** By hand, on ports of the container. */
  command(home: string): readonly string[]
  answers(address: string): Promise<boolean>
}

const kinds: readonly Kind[] = [
  {
    title: 'launch to first answer, and docker run by hand',
    profile: 'lab',
    image: 'notebook',
    command(home) {
      const values = { prefix: '/', home, start: home, socket: '' }
      const own = defaultApplication('notebook').argv.filter(
        (argument) => !/ServerApp\.sock|preferred_dir/.test(argument),
      )
      return [...own.map((argument) => fillIn(argument, values)), '--ServerApp.ip=0.0.0.0']
    },
    answers: async (address) => (await fetch(`http://${address}:8888/api`).catch(() => undefined))?.ok ?? false,
  },
  {
    title: 'launch to a desktop that draws, and docker run by hand',
    profile: 'desktop',
    image: 'desktop',
    command: () => [
      '/bin/sh',
      '-c',
      'Xvnc :1 -rfbport 5900 -SecurityTypes None -geometry 1280x800 & sleep 0.5; DISPLAY=:1 exec dbus-run-session -- xfce4-session',
    ],
    answers: greets,
  },
]

export async function benchDocker(): Promise<void> {
  const opened: (() => unknown)[] = []
  try {
    const context = contextOf(opened)
    const images = ['notebook', 'pyfai', 'desktop', 'pymca']
    const docker = await startDocker(context, { images })
    if (docker === undefined) throw new Error('Docker did not come up: see above')
    const hub = await startDockerHub(context, docker)
    const hutch = hub.hutch()
    const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
    for (const kind of kinds) {
      const [ours, hands]: [Took[], Took[]] = [[], []]
      for (let round = 0; round <= rounds; round += 1) {
        const hand = await byHand(docker, kind, hub.site.folder)
        const own = await launched(docker, kind, ada)
        // The first of each fills the machine's caches.
        if (round > 0) hands.push(hand)
        if (round > 0) ours.push(own)
      }
      report(kind, ours, hands)
    }
    for (const name of images) {
      const bytes = Number(await docker.docker('image', 'inspect', '--format', '{{.Size}}', docker.image(name)))
      row(`image ${name}`, { megabytes: bytes / 1e6 })
    }
  } finally {
    for (const close of opened.toReversed()) await close()
  }
}

/** Whoever serves RFB speaks first. */
async function greets(address: string): Promise<boolean> {
  const socket = createConnection({ host: address, port: 5_900 })
  try {
    const [first] = (await once(socket, 'data', { signal: AbortSignal.timeout(2_000) })) as [Buffer]
    return first.toString('latin1').startsWith('RFB')
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function report({ title }: Kind, ours: readonly Took[], hands: readonly Took[]): void {
  const [a, b] = [median(ours.map(({ ms }) => ms)), median(hands.map(({ ms }) => ms))]
  row(title, { hutch_ms: a, by_hand_ms: b, ratio: a / b, more_ms: a - b })
  const each = (all: readonly Took[]): string => all.map(({ ms }) => Math.round(ms)).join(' ')
  row('  each', { hutch_ms: each(ours), by_hand_ms: each(hands) })
  for (const [who, all] of [
    ['hutch', ours],
    ['by hand', hands],
  ] as const) {
    const names = Object.keys(all[0]?.stages ?? {})
    const medians = names.map((name) => [`${name}_ms`, median(all.map(({ stages }) => stages[name] ?? Number.NaN))])
    row(`  stages, ${who}`, Object.fromEntries(medians))
  }
  const mebibytes = (all: readonly Took[]): number => median(all.map(({ bytes }) => bytes)) / 2 ** 20
  row('an idle environment', { hutch_MiB: mebibytes(ours), by_hand_MiB: mebibytes(hands) })
}

/** From the POST until the hub says that it is ready. */
async function launched(docker: TestDocker, { profile }: Kind, ada: Scientist): Promise<Took> {
  const [startedAt, clickedAt] = [performance.now(), Date.now()]
  const { id } = await ada.launch({ profile, flavour: 'small' })
  const accepted = Date.now() - clickedAt
  await until('it is ready', async () => (await ada.state(id)) === 'ready', patience)
  const ms = performance.now() - startedAt
  const stages = { accepted, ...(await stagesOf(docker, `hutch-${id}`, clickedAt)) }
  const bytes = await memoryOf(docker, `hutch-${id}`)
  await ada.api('POST', `/environments/${id}/stop`)
  await until('it ended', async () => (await ada.state(id)) === 'ended', patience)
  return { ms, bytes, stages }
}

/** By Docker's clock, which is this machine's. */
async function stagesOf(docker: TestDocker, name: string, since: number): Promise<Record<string, number>> {
  const [created = '', started = ''] = (
    await docker.docker('inspect', '--format', '{{.Created}} {{.State.StartedAt}}', name)
  ).split(' ')
  const lines = await docker.docker('logs', '--timestamps', name)
  const at = (text: string | undefined): number => Date.parse(text?.split(' ', 1)[0] ?? '') - since
  const line = (pattern: RegExp): number => at(lines.split('\n').find((each) => pattern.test(each)))
  return {
    created: at(created),
    started: at(started),
    agent: line(/listens on/),
    jupyter: line(/ServerApp/),
    answers: line(/the application is ready/),
  }
}

/** The same command and limits, on a port. */
async function byHand(docker: TestDocker, kind: Kind, folder: string): Promise<Took> {
  const { uid } = people.ada
  const [home, passwd] = [`${folder}/homes/ada`, `${folder}/passwd`]
  // Without an entry a desktop's bus does not start.
  await writeFile(passwd, `ada:x:${uid}:${uid}::${home}:/bin/sh\n`)
  const limits = '--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --init --cpus 2 --memory 1g'
  const [startedAt, clickedAt] = [performance.now(), Date.now()]
  const container = await docker.docker(
    ...`run --detach --network hutch-facility --user ${uid}:${uid} ${limits}`.split(' '),
    ...['HOME', 'USER'].flatMap((name) => ['--env', `${name}=${name === 'HOME' ? home : 'ada'}`]),
    '--volume',
    `${home}:${home}`,
    '--volume',
    `${passwd}:/etc/passwd:ro`,
    docker.image(kind.image),
    ...kind.command(home),
  )
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
  const address = await docker.docker('inspect', '--format', format, container)
  await until('it answers', () => kind.answers(address), patience)
  const ms = performance.now() - startedAt
  const bytes = await memoryOf(docker, container)
  const stages = await stagesOf(docker, container, clickedAt)
  await docker.docker('rm', '--force', container)
  return { ms, bytes, stages }
}

/** What its control group holds without the files that were read. */
async function memoryOf(docker: TestDocker, container: string): Promise<number> {
  const text = await docker.docker('exec', container, 'cat', '/sys/fs/cgroup/memory/memory.stat')
  return Number(/^rss (\d+)$/m.exec(text)?.[1])
}
