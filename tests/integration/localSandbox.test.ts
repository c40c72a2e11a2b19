import { chown, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { descendantsOf, listProcesses } from '../../spawners/local/processes.ts'
import { readLatest } from '../../spawners/local/record.ts'
import { LaunchRefused, type Account, type Mount } from '../../spawners/spawner.ts'
import { available, program } from '../support/component.ts'
import { asScript, escapes, printed, succeeded } from '../support/localEscapes.ts'
import { localSite, type LocalSite } from '../support/localSubject.ts'
import { testKey } from '../support/spawnerSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const deadline = () => AbortSignal.timeout(30_000)

/** Undefined when this machine can't run the test. */
async function rootSite(t: ExecutionContext): Promise<LocalSite | undefined> {
  if (!available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return undefined
  if (!available(t, 'root', process.getuid?.() === 0, 'run the tests as root')) return undefined
  const site = await localSite(await temporaryFolder(t))
  t.teardown(site.close)
  return site
}

const bob: Account = { name: 'bob', uid: 12_002, gid: 12_002, groups: [], home: '/home/bob', shell: '/bin/sh' }

test('as root: no way out', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const spawner = await site.open()
  await writeFile(join(site.stateFolder, '../../secret'), 'secret', { mode: 0o644 })
  const [home, proposal] = [join(site.folder, 'home2'), join(site.folder, 'proposal2')]
  for (const path of [home, proposal]) {
    await mkdir(path, { mode: 0o777 })
    await chown(path, bob.uid, bob.gid)
  }
  const neighbour = site.spec(['shell', 'touch /tmp/mine /dev/shm/mine; echo "the shell ended with 0"'], {
    account: bob,
    mounts: [host('home', home, '/home/bob'), host('proposal 2, raw', proposal, '/data/p2')],
  })
  await printed(site, spawner, neighbour)
  const found = await readLatest(site.stateFolder, neighbour.id)
  const keeper = found.is === 'there' ? found.record.keeper.pid : 0
  const kept = (await descendantsOf(keeper)).map((info) => info.pid)
  const all = escapes({ ...site, home, proposal, key: testKey(neighbour.id), pids: [process.pid, keeper, ...kept] })
  const spec = site.spec(['shell', asScript(all)])
  const output = await printed(site, spawner, spec)
  t.deepEqual(succeeded(all, output), [], output)
  t.is((await spawner.observe(deadline())).get(neighbour.id)?.observation.phase, 'running')
  for (const { id } of [neighbour, spec]) await spawner.remove(id, deadline())
  await spawner.close?.()
})

test('as root: it is who the account says', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const spawner = await site.open()
  const groups = [
    { name: 'p1', gid: 30_001 },
    { name: 'p2', gid: 30_002 },
  ]
  const account = { ...site.spec([]).account, groups, fullName: 'Alice A.', shell: '/bin/bash' }
  const script = [
    'whoami; id -u; id -g; id -G; id -Gn; getent passwd alice; getent group 30002',
    'echo "$HOME $USER $LOGNAME $SHELL $EXTRA"; pwd; umask; touch made; hostname >/dev/null; echo $PATH',
  ].join('\n')
  const spec = site.spec(['shell', script], {
    account,
    variables: { EXTRA: "it's", HOME: '/root', LD_PRELOAD: '/x.so' },
  })
  const output = (await printed(site, spawner, spec)).split('\n').filter((line) => !line.includes('ld.so'))
  t.deepEqual(output.slice(0, 11), [
    'alice',
    '12001',
    '12001',
    '12001 30001 30002',
    'alice p1 p2',
    'alice:x:12001:12001:Alice A.:/home/alice:/bin/bash',
    'p2:x:30002:alice',
    "/home/alice alice alice /bin/bash it's",
    '/home/alice',
    '0027',
    '/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games',
  ])
  const made = await stat(join(site.home, 'made'))
  t.deepEqual([made.uid, made.gid, made.mode & 0o777], [12_001, 12_001, 0o640])
  await spawner.remove(spec.id, deadline())
  await spawner.close?.()
})

test('as root: what takes too much memory is ended, and the reason is told', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const spawner = await site.open()
  const spec = site.spec(['hog'], { resources: { cpu: 1, memoryBytes: 2 ** 28, gpus: 0 } })
  await spawner.ensure(spec, deadline())
  const ended = await until(
    'it has ended',
    async () => {
      const observation = (await spawner.observe(deadline())).get(spec.id)?.observation
      return observation?.phase === 'ended' && observation
    },
    { timeoutMs: 60_000 },
  )
  t.like(ended, { reason: 'outOfMemory', exitCode: 137 })
  await spawner.remove(spec.id, deadline())
  await spawner.close?.()
})

test('as root: no more processes than allowed, and the other limits are set', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const spawner = await site.open()
  const script = 'i=0; while [ $i -lt 300 ]; do sleep 5 & i=$((i+1)); done; ls /proc | grep -c "^[0-9]"'
  const spec = site.spec(['shell', `sh -c '${script}'; true`])
  const output = await printed(site, spawner, spec)
  t.regex(output, /[Cc]annot fork|Resource temporarily unavailable/)
  const latest = await readLatest(site.stateFolder, spec.id)
  const groups = latest.is === 'there' ? latest.record.cgroups : []
  t.true(groups.length > 0)
  const limits = await Promise.all(
    groups.map(async (folder) => ({
      quota: await readFile(join(folder, 'cpu.cfs_quota_us'), 'utf8').catch(() => undefined),
      memory: await readFile(join(folder, 'memory.limit_in_bytes'), 'utf8').catch(() => undefined),
      max: await readFile(join(folder, 'cpu.max'), 'utf8').catch(() => undefined),
    })),
  )
  t.true(limits.some(({ quota, max }) => quota?.trim() === '100000' || max?.trim() === '100000 100000'))
  t.true(limits.some(({ memory, max }) => memory?.trim() === String(2 ** 29) || max !== undefined))
  await spawner.remove(spec.id, deadline())
  await until('nothing is left', async () => !(await spawner.observe(deadline())).has(spec.id))
  for (const folder of groups) await t.throwsAsync(readdir(folder), { code: 'ENOENT' })
  await spawner.close?.()
})

test('the key is in no argument and no variable of any process, nor on disk', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const spawner = await site.open()
  const spec = site.spec(['run'])
  const key = testKey(spec.id)
  await spawner.ensure(spec, deadline())
  await until('the agent, which prints it, has it', async () =>
    (await spawner.logs?.(spec.id, deadline()))?.includes(key),
  )
  for (const { pid } of await listProcesses()) {
    for (const file of ['cmdline', 'environ']) {
      const text = await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
      t.false(text.includes(key), `${file} of ${pid}`)
    }
  }
  for (const entry of await readdir(site.stateFolder, { recursive: true, withFileTypes: true })) {
    // The log alone, and only because this fake prints what it was told.
    if (!entry.isFile() || entry.name === 'log') continue
    const path = join(entry.parentPath, entry.name)
    t.false((await readFile(path, 'utf8')).includes(key), path)
    t.is((await stat(path)).mode & (['passwd', 'group', 'start.sh'].includes(entry.name) ? 0o133 : 0o177), 0, path)
  }
  await spawner.remove(spec.id, deadline())
  await spawner.close?.()
})

const refusals: readonly (readonly [string, (site: LocalSite) => Parameters<LocalSite['spec']>[1], RegExp])[] = [
  ['uid 0', (site) => ({ account: { ...site.spec([]).account, uid: 0 } }), /superuser/],
  ['a system uid', (site) => ({ account: { ...site.spec([]).account, uid: 33 } }), /belongs to the system/],
  ['no home', (site) => ({ mounts: site.spec([]).mounts.slice(1) }), /home directory \/home\/alice is not among/],
  ['a missing source', withMount(host('raw', '/nonexistent/x', '/data/x')), /"raw" is not there/],
  ['a source that is a file', withMount(host('raw', '/etc/passwd', '/data/x')), /is not a directory/],
  ['the state folder', (site) => withMount(host('raw', site.stateFolder, '/data/x'))(site), /files of the hub/],
  ['what holds the state folder', (site) => withMount(host('raw', site.folder, '/data/x'))(site), /files of the hub/],
  ['an export that is not mounted', withMount(nfs('/export/p9')), /nas:\/export\/p9 is not mounted on this machine/],
  ['a place in a read-only folder', withMount(host('out', '/usr', '/data/p1/out')), /there must be a directory/],
  ['a variable that is none', () => ({ variables: { 'A=B;': 'x' } }), /not a name of a variable/],
  ['a GPU', () => ({ resources: { cpu: 1, memoryBytes: 2 ** 29, gpus: 1 } }), /no GPUs/],
]
for (const [title, part, message] of refusals) {
  test(`as root: refused, with a sentence and without a trace: ${title}`, async (t) => {
    const site = await rootSite(t)
    if (!site) return
    const spawner = await site.open()
    const spec = site.spec(['run'], part(site))
    const error = await t.throwsAsync(spawner.ensure(spec, deadline()), { instanceOf: LaunchRefused })
    t.regex(error.message, message)
    t.deepEqual(await readdir(site.stateFolder), [])
  })
}

test('as root: an export that the configuration knows is where it says', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  await mkdir(join(site.folder, 'mnt/p9'), { recursive: true })
  await writeFile(join(site.folder, 'mnt/p9/file'), 'measured\n', { mode: 0o644 })
  const spawner = await site.open('tested', { nfs: { 'nas:/export': join(site.folder, 'mnt') } })
  const spec = site.spec(['shell', 'cat /data/x/file'], withMount(nfs('/export/p9'))(site))
  t.regex(await printed(site, spawner, spec), /^measured$/m)
  await spawner.remove(spec.id, deadline())
  await spawner.close?.()
})

test('as root: a link in a user-writable directory leads no mount anywhere', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const spawner = await site.open()
  await symlink('/etc', join(site.home, 'data'))
  const spec = site.spec(['run'], withMount(host('raw', '/usr', '/home/alice/data/x'))(site))
  await t.throwsAsync(spawner.ensure(spec, deadline()), {
    instanceOf: LaunchRefused,
    message: /there must be a directory/,
  })
})

test('a stubborn environment is killed after its time, with everything in it', async (t) => {
  const site = await rootSite(t)
  if (!site) return
  const spawner = await site.open()
  const spec = site.spec(['stubborn'])
  await spawner.ensure(spec, deadline())
  await until('it has begun', async () => spawner.logs?.(spec.id, deadline()))
  const latest = await readLatest(site.stateFolder, spec.id)
  const keeper = latest.is === 'there' ? latest.record.keeper.pid : 0
  const kept = (await descendantsOf(keeper)).map((info) => info.pid)
  t.true(kept.length >= 3)
  await spawner.remove(spec.id, deadline())
  t.is((await spawner.observe(deadline())).get(spec.id)?.observation.phase, 'stopping')
  await until('it is gone', async () => !(await spawner.observe(deadline())).has(spec.id), { timeoutMs: 30_000 })
  const pids = new Set((await listProcesses()).filter((info) => !info.isZombie).map((info) => info.pid))
  t.deepEqual(
    [keeper, ...kept].filter((pid) => pids.has(pid)),
    [],
  )
  await spawner.close?.()
})

function host(name: string, path: string, target: string): Mount {
  return { name, source: { kind: 'host', path }, target, readOnly: name === 'raw' }
}

function nfs(path: string): Mount {
  return { name: 'raw', source: { kind: 'nfs', server: 'nas', path }, target: '/data/x', readOnly: true }
}

function withMount(mount: Mount): (site: LocalSite) => { mounts: readonly Mount[] } {
  return (site) => ({ mounts: [...site.spec([]).mounts, mount] })
}
