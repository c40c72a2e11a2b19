/** `npm start` as root: the demo's three people are three accounts, or the page says what is missing. */
import test, { type ExecutionContext } from 'ava'
import { available, program } from '../support/component.ts'
import { startHutch, type RunningHutch } from '../support/hutch.ts'
import { openKernel } from '../support/kernel.ts'
import { logInAs, type Scientist } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const notebook = { profile: 'jupyterlab', flavour: 'small' }
const processed = '/data/LOQ/20150042/processed'

function possible(t: ExecutionContext): boolean {
  return (
    available(t, 'root', process.getuid?.() === 0, 'run the tests as root') &&
    available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')
  )
}

async function logIn(hutch: RunningHutch, name: string): Promise<Scientist> {
  return await logInAs(hutch.url, name, (await hutch.passwords())[name] ?? '')
}

async function run(scientist: Scientist, proposals: readonly string[], code: string): Promise<string> {
  const launched = await scientist.launch({ ...notebook, proposals })
  await scientist.enter(launched)
  const kernel = await openKernel(scientist, launched)
  try {
    return await kernel.run(`import os, subprocess\n${code}`)
  } finally {
    kernel.dispose()
    await scientist.api('POST', `/environments/${launched.id}/stop`)
    const ended = async (): Promise<boolean> => (await scientist.state(launched.id)) === 'ended'
    await until('it ended', ended, { timeoutMs: 90_000, everyMs: 100 })
  }
}

const who = `print(os.getuid(), os.path.expanduser('~'), subprocess.getoutput('whoami'), os.path.exists('/data/LOQ'))`

test.serial('the demo as root: accounts of their own that stay the same, and results that members share', async (t) => {
  if (!possible(t)) return
  const state = await temporaryFolder(t)
  const first = await startHutch(t, { state, asRoot: true })
  const ada = await logIn(first, 'ada')
  const written = await run(ada, ['20150042'], `${who}\nopen('${processed}/by-ada', 'w').write('of ada')`)
  t.regex(written, /^61\d\d\d \/home\/ada ada True$/)
  t.regex(first.output(), /^as root: each person gets an account of their own, sandboxed with bubblewrap$/m)
  t.is(await first.stop(), 0)

  const second = await startHutch(t, { state, asRoot: true })
  const [again, marie, rosalind] = [
    await logIn(second, 'ada'),
    await logIn(second, 'marie'),
    await logIn(second, 'rosalind'),
  ]
  t.is(await run(again, ['20150042'], who), written)
  const changed = await run(marie, ['20150042'], `${who}\nprint(open('${processed}/by-ada', 'r+').read())`)
  t.regex(changed, /^61\d\d\d \/home\/marie marie True\nof ada$/)
  const other = await run(rosalind, ['20080121'], who)
  t.regex(other, /^61\d\d\d \/home\/rosalind rosalind False$/)
  t.is(new Set([written, changed, other].map((text) => text.split(' ')[0])).size, 3)
  t.is(await second.stop(), 0)
})

test.serial('the demo as root without bubblewrap: the launch page says why, and what helps', async (t) => {
  if (!available(t, 'root', process.getuid?.() === 0, 'run the tests as root')) return
  const hide =
    'for each in /usr/bin/bwrap /usr/local/bin/bwrap; do [ ! -e "$each" ] || mount --bind /dev/null "$each"; done'
  const within = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', `${hide}; exec "$@"`, 'sh']
  const hutch = await startHutch(t, { state: await temporaryFolder(t), asRoot: true, within })
  const ada = await logIn(hutch, 'ada')
  const page = await ada.jar.open(`${hutch.url}/hub/launch`)
  t.is(page.status, 200)
  t.regex(page.text, /bubblewrap \(bwrap\) is not installed[^<]*apt-get install bubblewrap/)
  const refused = await ada.api<{ detail: string }>('POST', '/environments', { ...notebook, proposals: [] })
  t.is(refused.status, 503)
  t.regex(refused.body.detail, /apt-get install bubblewrap/)
  t.is(await hutch.stop(), 0)
})
