/**
 * Data, end to end: from a portal's link through the login to a dataset in a terminal; and on a real file server, through
 * a real kernel's client: who may what, and what becomes of more than 16 groups.
 */
import { chmod, chown, mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { configurationSchema } from '../../config/schema.ts'
import { carryGroups } from '../../hub/launch/groups.ts'
import { deriveMounts } from '../../hub/launch/mounts.ts'
import type { Account } from '../../spawners/spawner.ts'
import { createJar } from '../support/browser-jar.ts'
import { startHutch } from '../support/hutch.ts'
import { nfsClient, type Step } from '../support/nfs.ts'
import { scientistWith } from '../support/scientist.ts'
import { openShell, typeInto } from '../support/shell.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const gid = 30_500
const proposals = [{ id: '20260042', title: 'Micelles', instrument: 'LOQ', fields: {} }]
const own = { name: 'p20260042', gid }
/** Of these AUTH_SYS carries the sixteen of the lowest numbers: not the proposal's. */
const many = [...Array.from({ length: 20 }, (_, index) => ({ name: `g${index}`, gid: 30_000 + index })), own]
const directories = new URL('../../images/agent/directories.ts', import.meta.url).href

function account(name: string, uid: number, groups: Account['groups']): Account {
  return { name, uid, gid: uid, groups, home: `/home/${name}`, shell: '/bin/sh' }
}

test('members read and write, others do not, root is nobody; of 21 groups an environment carries those that count', async (t) => {
  const nfs = await nfsClient(t)
  if (nfs === undefined) return
  await fill(nfs.folder)
  const root = `${nfs.server}:/export`
  const rule = { target: '/mnt/{proposal}/raw', allowedRoots: [root], group: 'p{proposal}', mostGroups: 16 }
  const rules = configurationSchema.shape.mounts.parse([
    { ...rule, name: 'raw data', source: `${root}/{proposal}/raw` },
    {
      ...rule,
      name: 'results',
      source: `${root}/{proposal}/processed`,
      target: '/mnt/{proposal}/processed',
      readOnly: false,
    },
    { name: 'open', for: 'user', source: `${root}/open`, target: '/mnt/open', allowedRoots: [root], readOnly: false },
  ])
  const chosen = { proposals, datasets: [] }
  const ada = account('ada', 12_001, [own])
  const eve = account('eve', 12_002, [{ name: 'p20260043', gid: 30_501 }])
  const joan = account('joan', 12_003, many)
  const carried = carryGroups(joan, rules, chosen)
  t.regex(carried.warning ?? '', /You are in 21 groups, and the file server takes 16/)
  const mounts = deriveMounts({
    rules,
    account: ada,
    homeSource: '/homes/ada',
    ...chosen,
    stateFolder: '/var/lib/hutch',
  })

  const [raw, results] = ['/mnt/20260042/raw', '/mnt/20260042/processed']
  const found = await nfs.run(
    mounts.map(({ mount }) => mount),
    [
      step('a member reads', ada, ['cat', `${raw}/run.txt`]),
      step('a member writes results', ada, ['sh', '-c', `umask 007; echo fitted > ${results}/fit.txt`]),
      step('a member writes raw data', ada, ['touch', `${raw}/mine`]),
      step('another reads', eve, ['cat', `${raw}/run.txt`]),
      step('another writes', eve, ['touch', `${results}/theirs`]),
      { name: 'root reads', argv: ['cat', `${raw}/run.txt`] },
      { name: 'root writes', argv: ['touch', '/mnt/open/by-root'] },
      step('21 groups', joan, ['cat', `${raw}/run.txt`]),
      step('those that are carried', carried.account, ['cat', `${raw}/run.txt`]),
      checked('the agent of one with 21 groups', joan, raw),
      checked('the agent of one with those that are carried', carried.account, raw),
    ],
  )
  const denied = { output: /Permission denied/, status: 1 }
  const expected: Readonly<Record<string, Readonly<{ output: RegExp; status: number }>>> = {
    'a member reads': { output: /^counts\n$/, status: 0 },
    'a member writes results': { output: /^$/, status: 0 },
    'a member writes raw data': { output: /Read-only file system/, status: 1 },
    'another reads': denied,
    'another writes': denied,
    'root reads': denied,
    'root writes': { output: /^$/, status: 0 },
    '21 groups': denied,
    'those that are carried': { output: /^counts\n$/, status: 0 },
    'the agent of one with 21 groups': {
      output: /The directory "raw data" \(\/mnt\/20260042\/raw\) can't be read by you\./,
      status: 0,
    },
    'the agent of one with those that are carried': { output: /^\[\]\n$/, status: 0 },
  }
  for (const [name, { output, status }] of Object.entries(expected)) {
    t.regex(found.get(name)?.output ?? 'it was not run', output, name)
    t.is(found.get(name)?.status, status, name)
  }
  const made = await stat(join(nfs.folder, '20260042/processed/fit.txt'))
  t.deepEqual([made.uid, made.gid, made.mode & 0o777], [ada.uid, gid, 0o660], 'the member’s, for all of the proposal')
  t.is((await stat(join(nfs.folder, 'open/by-root'))).uid, 65_534, 'root is squashed')
})

function step(name: string, { uid, gid: primary, groups }: Account, argv: readonly string[]): Step {
  return { name, as: { uid, gid: primary, gids: groups.map((each) => each.gid) }, argv }
}

/** What the agent would say before it starts anything. */
function checked(name: string, who: Account, path: string): Step {
  const asked = JSON.stringify([{ name: 'raw data', path, readOnly: true }])
  const program = `import('${directories}').then((m) => m.checkDirectories(${asked})).then((p) => console.log(JSON.stringify(p).replaceAll('\\\\"', '"')))`
  return step(name, who, [process.execPath, '-e', program])
}

async function fill(folder: string): Promise<void> {
  for (const [name, mode] of [
    ['raw', 0o2750],
    ['processed', 0o2770],
  ] as const) {
    const place = join(folder, '20260042', name)
    await mkdir(place, { recursive: true })
    await chown(place, 0, gid)
    await chmod(place, mode)
  }
  const run = join(folder, '20260042/raw/run.txt')
  await writeFile(run, 'counts\n')
  await chown(run, 0, gid)
  await chmod(run, 0o640)
  await mkdir(join(folder, 'open'))
  await chmod(join(folder, 'open'), 0o1777)
}

test("from a portal's link through the login to the dataset, and to what was restored; a link on the way is refused", async (t) => {
  const folder = await temporaryFolder(t)
  const hutch = await startHutch(t, { state: join(folder, 'state'), args: ['--config', await site(folder)] })
  const jar = createJar()
  const link = '/hub/launch?profile=terminal&proposal=p1&dataset=20.500/a&title=From+the+portal'
  const login = await jar.open(hutch.url + link)
  const next = new URL(login.url).searchParams.get('next') ?? ''
  t.is(next, link)
  const form = await jar.open(`${hutch.url}/hub/login/demo?next=${encodeURIComponent(next)}`)
  const action = /<form[^>]*action="([^"]+)"/.exec(form.text)?.[1] ?? ''
  const password = (await hutch.passwords())['ada'] ?? ''
  const page = await jar.open(new URL(action, form.url).href, { method: 'POST', form: { name: 'ada', password } })
  t.is(page.url, hutch.url + link)
  t.regex(page.text, /name="datasets" value="p1\/20\.500\/a" checked/)
  t.regex(page.text, /Terminal<[\s\S]*First for SANS[\s\S]*Other</)

  const ada = scientistWith(jar, hutch.url, 'ada')
  const chosen = { profile: 'terminal', flavour: 'small', title: 'From the portal' }
  const archived = await ada.api<{ detail: string }>('POST', '/environments', {
    ...chosen,
    proposals: [],
    datasets: ['p1/20.500/c'],
  })
  t.is(archived.status, 422)
  t.regex(archived.body.detail, /lies in the archive/)
  const launch = (folders: Record<string, string>) => {
    const wanted = { ...chosen, datasets: ['p1/20.500/a', 'p1/20.500/c'], folders }
    return ada.launch(wanted)
  }
  const launched = await launch({ 'p1/20.500/c': join(folder, 'restored/c') })
  const linked = await launch({ 'p1/20.500/c': join(folder, 'restored/out') })
  await ada.enter(launched)
  const shell = await openShell(ada, launched)
  await typeInto(shell, 'cat "/data/p1/scan a/run.txt" "/restored/p1/scan c/run.txt"', /^counts a\r?\ncounts c/m)
  await typeInto(shell, 'ls -N /data/p1; echo "done $HUTCH_DATASETS"', /^scan a\r?\ndone 20\.500\/a,20\.500\/c/m)

  await until('the one with a link has ended', async () => (await ada.state(linked.id)) === 'ended', {
    timeoutMs: 60_000,
  })
  const { body } = await ada.api<object>('GET', `/environments/${linked.id}`)
  t.regex(JSON.stringify(body), /a link in .* leads elsewhere/)
})

/** Two datasets that are there, one that was restored, and a link to somewhere else beneath the root. */
async function site(folder: string): Promise<string> {
  for (const [place, name] of [
    ['raw', 'a'],
    ['raw', 'b'],
    ['restored', 'c'],
  ] as const) {
    await mkdir(join(folder, place, name), { recursive: true })
    await writeFile(join(folder, place, name, 'run.txt'), `counts ${name}\n`)
  }
  await symlink(join(folder, 'raw'), join(folder, 'restored/out'))
  const scan = (name: string) => ({ id: `20.500/${name}`, name: `scan ${name}`, folder: join(folder, 'raw', name) })
  const proposal = { id: 'p1', title: 'Micelles', instrument: 'LOQ', technique: 'SANS', members: ['ada'] }
  const datasets = [scan('a'), scan('b'), { ...scan('c'), archived: true }]
  const catalogue = join(folder, 'catalogue.yaml')
  await writeFile(catalogue, JSON.stringify({ proposals: [{ ...proposal, datasets }] }))
  const rule = { allowedRoots: [join(folder, 'raw')], target: '/data/{proposal}/all', source: join(folder, 'raw') }
  const configuration = {
    login: { demo: true },
    accounts: { source: 'demo' },
    catalogue: { type: 'file', path: catalogue },
    mounts: [
      { ...rule, name: 'raw data', wholeOnly: true },
      { ...rule, name: 'scan', for: 'dataset', source: '{folder}', target: '/data/{proposal}/{dataset}' },
    ],
    archive: { roots: [join(folder, 'restored')], picks: true },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: { here: { type: 'local', allowUnlimited: true } },
    profiles: {
      other: { title: 'Other', kind: 'terminal', flavours: ['small'], on: { here: {} } },
      terminal: { title: 'Terminal', kind: 'terminal', flavours: ['small'], on: { here: {} } },
    },
    offers: [
      {
        title: 'First for SANS',
        when: { techniques: ['sans'] },
        opens: { profiles: ['terminal'] },
        first: { profiles: ['terminal'] },
      },
    ],
  }
  const file = join(folder, 'hutch.json')
  await writeFile(file, JSON.stringify(configuration))
  return file
}
