/**
 * Docker: from the click on "launch" to JupyterLab's first answer, against `docker run` of the same image by hand, in
 * interleaved rounds of one run. Goal: at most 5 % and 200 ms more. And an idle environment's memory, both ways.
 */
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

export async function benchDocker(): Promise<void> {
  const opened: (() => unknown)[] = []
  try {
    const context = contextOf(opened)
    const docker = await startDocker(context, { images: ['notebook', 'pyfai'] })
    if (docker === undefined) throw new Error('Docker did not come up: see above')
    const hub = await startDockerHub(context, docker)
    const hutch = hub.hutch()
    const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
    const [ours, hands]: [Took[], Took[]] = [[], []]
    for (let round = 0; round <= rounds; round += 1) {
      const hand = await byHand(docker, `${hub.site.folder}/homes/ada`)
      const own = await launched(docker, ada)
      // The first of each fills the machine's caches.
      if (round > 0) hands.push(hand)
      if (round > 0) ours.push(own)
    }
    report(ours, hands)
    for (const name of ['notebook', 'pyfai']) {
      const bytes = Number(await docker.docker('image', 'inspect', '--format', '{{.Size}}', docker.image(name)))
      row(`image ${name}`, { megabytes: bytes / 1e6 })
    }
  } finally {
    for (const close of opened.toReversed()) await close()
  }
}

function report(ours: readonly Took[], hands: readonly Took[]): void {
  const [a, b] = [median(ours.map(({ ms }) => ms)), median(hands.map(({ ms }) => ms))]
  row('launch to first answer, and docker run by hand', { hutch_ms: a, by_hand_ms: b, ratio: a / b, more_ms: a - b })
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
async function launched(docker: TestDocker, ada: Scientist): Promise<Took> {
  const [startedAt, clickedAt] = [performance.now(), Date.now()]
  const { id } = await ada.launch({ profile: 'lab', flavour: 'small' })
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
async function byHand(docker: TestDocker, home: string): Promise<Took> {
  const { uid } = people.ada
  const values = { prefix: '/', home, start: home, socket: '' }
  const command = defaultApplication('notebook')
    .argv.filter((argument) => !/ServerApp\.sock|preferred_dir/.test(argument))
    .map((argument) => fillIn(argument, values))
  const limits = '--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --init --cpus 2 --memory 1g'
  const [startedAt, clickedAt] = [performance.now(), Date.now()]
  const container = await docker.docker(
    ...`run --detach --network hutch-facility --user ${uid}:${uid} ${limits}`.split(' '),
    ...['HOME', 'USER'].flatMap((name) => ['--env', `${name}=${name === 'HOME' ? home : 'ada'}`]),
    '--volume',
    `${home}:${home}`,
    docker.image('notebook'),
    ...command,
    '--ServerApp.ip=0.0.0.0',
  )
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
  const address = await docker.docker('inspect', '--format', format, container)
  const answers = async (): Promise<boolean> =>
    (await fetch(`http://${address}:8888/api`).catch(() => undefined))?.ok ?? false
  await until('JupyterLab answers', answers, patience)
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
