/** The state folder, its secrets and its lock: made private, found again, refused in one line. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { lockStateFolder, StateFolderTaken } from '../../hub/setup/lock.ts'
import { loadSecrets } from '../../hub/setup/secrets.ts'
import { prepareStateFolder, StateFolderError, writeWhole } from '../../hub/setup/state-folder.ts'
import { available, program } from '../support/component.ts'
import { temporaryFolder } from '../support/temporary.ts'

test('a new state folder is private, and the second start finds it', async (t) => {
  const path = join(await temporaryFolder(t), 'a', 'state')
  const first = await prepareStateFolder(path)
  t.true(first.fresh)
  for (const folder of [path, first.run, first.logs]) t.is((await stat(folder)).mode & 0o777, 0o700)
  t.is(await readFile(join(path, 'version'), 'utf8'), '1\n')
  t.false((await prepareStateFolder(path)).fresh)
})

test('a folder that others could read is made private', async (t) => {
  const path = await temporaryFolder(t)
  await chmod(path, 0o755)
  await prepareStateFolder(path)
  t.is((await stat(path)).mode & 0o777, 0o700)
})

for (const [title, prepare, expected] of [
  ['a file', (path: string) => writeFile(path, ''), /is a file, or lies beneath one/],
  ['of a newer release', (path: string) => written(path, '99\n'), /written by a newer Hutch/],
  ['of something else', (path: string) => written(path, 'PG15'), /is not a state folder of Hutch/],
] as const) {
  test(`a state folder that is ${title} is refused`, async (t) => {
    const path = join(await temporaryFolder(t), 'state')
    await prepare(path)
    const error = await t.throwsAsync(prepareStateFolder(path), { instanceOf: StateFolderError, message: expected })
    t.is(error?.exitCode, 73)
    t.notRegex(error?.message ?? '', /\n/)
  })
}

test('a path too long for sockets in it is refused', async (t) => {
  const path = join(await temporaryFolder(t), 'x'.repeat(80))
  await t.throwsAsync(prepareStateFolder(path), { instanceOf: StateFolderError, message: /longer than 80 bytes/ })
})

test('secrets are made once, differ by purpose and by installation, and stay private', async (t) => {
  const [one, other] = [await temporaryFolder(t), await temporaryFolder(t)]
  const [first, again, elsewhere] = [await loadSecrets(one), await loadSecrets(one), await loadSecrets(other)]
  t.deepEqual(again.admissionKey, first.admissionKey)
  t.notDeepEqual(elsewhere.admissionKey, first.admissionKey)
  const all = [first.admissionKey, first.agentsKey, first.derive('x'), first.derive('y')].map((key) =>
    key.toString('hex'),
  )
  t.is(new Set([...all, Buffer.from(first.feedSecret, 'base64url').toString('hex')]).size, 5)
  for (const key of all) t.is(key.length, 64)
  t.is((await stat(join(one, 'secrets'))).mode & 0o777, 0o700)
  t.is((await stat(join(one, 'secrets/master.key'))).mode & 0o777, 0o600)
  t.deepEqual(await readdir(join(one, 'secrets')), ['master.key'])
})

test('of several starts at once one makes the key, and all have the same', async (t) => {
  const folder = await temporaryFolder(t)
  const keys = await Promise.all(Array.from({ length: 8 }, () => loadSecrets(folder)))
  t.is(new Set(keys.map(({ feedSecret }) => feedSecret)).size, 1)
})

for (const [title, damage, expected] of [
  ['that others may read', (file: string) => chmod(file, 0o644), /others may have read/],
  ['that is cut off', (file: string) => writeFile(file, 'short'), /is damaged \(5 of 32 bytes\)/],
] as const) {
  test(`a master key ${title} is refused`, async (t) => {
    const folder = await temporaryFolder(t)
    await loadSecrets(folder)
    await damage(join(folder, 'secrets/master.key'))
    await t.throwsAsync(loadSecrets(folder), { instanceOf: StateFolderError, message: expected })
  })
}

test('the lock: one process at a time, and free again however that one ended', async (t) => {
  const path = await temporaryFolder(t)
  await prepareStateFolder(path)
  const holder = spawn(process.execPath, ['--input-type=module-typescript', '-e', holding(path)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  await t.throwsAsync(lockStateFolder(path), {
    instanceOf: StateFolderTaken,
    message: new RegExp(`another hub \\(process ${holder.pid}\\) uses the state folder`),
  })
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const lock = await lockStateFolder(path)
  lock.release()
  const again = await lockStateFolder(path)
  again.release()
})

test('a file is written whole, private, and leaves no draft', async (t) => {
  const folder = await temporaryFolder(t)
  await writeWhole(join(folder, 'x'), 'one')
  await writeWhole(join(folder, 'x'), 'two')
  t.is(await readFile(join(folder, 'x'), 'utf8'), 'two')
  t.is((await stat(join(folder, 'x'))).mode & 0o777, 0o600)
  t.deepEqual(await readdir(folder), ['x'])
  await mkdir(join(folder, 'y'))
  await t.throwsAsync(writeWhole(join(folder, 'y'), 'x'))
  t.deepEqual((await readdir(folder)).toSorted(), ['x', 'y'])
})

for (const [title, mount, exitCode, expected] of [
  ['read-only', (path: string) => ['--ro-bind', path, path], 73, /is on a read-only disk/],
  ['full', (path: string) => ['--size', String(2 ** 20), '--tmpfs', path], 74, /is full \(\d+ MiB are free\)/],
] as const) {
  test(`a disk that is ${title} is one line and exit code ${exitCode}`, async (t) => {
    const bwrap = program('bwrap')
    if (!available(t, 'bubblewrap', bwrap, 'apt-get install bubblewrap')) return
    const path = await temporaryFolder(t)
    const argv = [
      '--dev-bind',
      '/',
      '/',
      ...mount(path),
      process.execPath,
      '--input-type=module-typescript',
      '-e',
      preparing(path),
    ]
    const done = spawnSync(bwrap ?? '', argv, { encoding: 'utf8', timeout: 60_000 })
    t.is(done.status, exitCode, done.stderr)
    t.regex(done.stderr, expected)
    t.is(done.stderr.trim().split('\n').length, 1)
  })
}

const project = new URL('../..', import.meta.url).href

function holding(path: string): string {
  return `import { lockStateFolder } from '${project}hub/setup/lock.ts'
process.removeAllListeners('warning')
await lockStateFolder(${JSON.stringify(path)})
console.log('held')
setInterval(() => undefined, 1000)`
}

function preparing(path: string): string {
  return `import { prepareStateFolder } from '${project}hub/setup/state-folder.ts'
import { explain } from '${project}hub/cli/failure.ts'
process.removeAllListeners('warning')
try {
  await prepareStateFolder(${JSON.stringify(path)})
} catch (error) {
  const { line, exitCode } = explain(error)
  process.stderr.write(line + '\\n')
  process.exitCode = exitCode
}`
}

async function written(path: string, version: string): Promise<void> {
  await mkdir(path)
  await writeFile(join(path, 'version'), version)
}
