/** An agent that falls silent while the hub lives, and stays so over its death: told, nothing removed, and back again. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { hostileConfiguration } from '../support/hostile-application.ts'
import { startHutch } from '../support/hutch.ts'
import { logInAs, type Scientist } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const patience = { timeoutMs: 120_000, everyMs: 250 }

test('a silent agent is told in words on home, nothing is removed, and it comes back', async (t) => {
  t.timeout(400_000)
  const folder = await temporaryFolder(t)
  const file = join(folder, 'hutch.json')
  await writeFile(file, hostileConfiguration({ agents: { silentAfter: '2s' }, environments: { outliveHub: true } }))
  const start = { state: join(folder, 'state'), args: ['--config', file] }
  const hutch = await startHutch(t, start)
  const ada = await logInAs(hutch.url, 'ada', (await hutch.passwords())['ada'] ?? '')
  const { id, url } = await ada.launch({ profile: 'terminal', flavour: 'small', title: 'Patience' })
  await ada.enter({ id, url })
  const agent = await agentOf(id)
  t.teardown(() => signal(agent, 'SIGCONT'))

  await sleep(3_000)
  t.is(await ada.state(id), 'ready', 'one that answers when it is asked is not silent')

  signal(agent, 'SIGSTOP')
  await until('the hub says so', async () => (await ada.state(id)) === 'unreachable', patience)
  t.regex(await card(ada, hutch.url, id), /Not reachable[^]*It runs, but has not answered since[^]*It is tried again/)
  signal(agent, 'SIGCONT')
  await until('it is back', async () => (await ada.state(id)) === 'ready', patience)
  t.notRegex(await card(ada, hutch.url, id), /Not reachable/)

  // Silent again, and nobody there to see it.
  await hutch.kill()
  signal(agent, 'SIGSTOP')
  const again = await startHutch(t, { ...start, port: Number(new URL(hutch.url).port) })
  await until('the new hub says so', async () => (await ada.state(id)) === 'unreachable', patience)
  await again.kill()
  const last = await startHutch(t, { ...start, port: Number(new URL(hutch.url).port) })
  // Known to the hub from its store; asked again and again, it is left alone.
  for (let look = 0; look < 20; look += 1) {
    t.is(await ada.state(id), 'unreachable')
    await sleep(500)
  }
  t.regex(await card(ada, hutch.url, id), /Not reachable/)
  t.is(await agentOf(id), agent, 'the same process is there')

  signal(agent, 'SIGCONT')
  await until('it is back', async () => (await ada.state(id)) === 'ready', patience)
  t.is((await ada.jar.open(url)).status, 200)
  t.is(await agentOf(id), agent)
  await ada.api('POST', `/environments/${id}/stop`)
  await until('it ended', async () => (await ada.state(id)) === 'ended', patience)
  t.is(await last.stop(), 0)
})

/** What home shows of it, as text. */
async function card({ jar }: Scientist, hubUrl: string, id: string): Promise<string> {
  const { text } = await jar.open(`${hubUrl}/hub/home`)
  const from = text.indexOf(`data-environment="${id}"`)
  return text.slice(from, text.indexOf('<dl', from)).replaceAll(/<[^>]+>/g, ' ')
}

/** The agent itself, not what keeps or sandboxes it. */
async function agentOf(id: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (variables.includes(`HUTCH_ENVIRONMENT=${id}`) && /^[^\0]*node\0[^]*agent\.cjs/.test(command)) return Number(pid)
  }
  throw new Error(`no agent runs for ${id}`)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
