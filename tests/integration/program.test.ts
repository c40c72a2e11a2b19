/** The hub and the proxy as bundles: made once for each version of the source, and used only where nobody else writes. */
import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { findProgram } from '../../bin/program.js'
import { temporaryFolder } from '../support/temporary.ts'

const run = promisify(execFile)

test('a bundle is made once and runs as the source does', async (t) => {
  const folder = join(await temporaryFolder(t), 'programs')
  const hub = findProgram('hub', process.execPath, [folder]) ?? ''
  t.true(hub.startsWith(folder), hub)
  const made = await stat(hub)
  t.is(findProgram('hub', '/bin/false', [folder]), hub, 'nothing is made a second time')
  t.is((await stat(hub)).mtimeMs, made.mtimeMs)
  const proxy = findProgram('proxy', '/bin/false', [folder]) ?? ''
  t.true(proxy.startsWith(folder), 'both are made together')
  for (const [bundled, source] of [
    [hub, 'hub/cli/run.ts'],
    [proxy, 'proxy/main.ts'],
  ] as const) {
    const ours = await run(process.execPath, [bundled, '--help'])
    const theirs = await run(process.execPath, [source, '--help'])
    t.is(ours.stdout, theirs.stdout, source)
    t.true(ours.stdout.length > 100, source)
  }
  const file = join(folder, 'configuration.yaml')
  const refused = await t.throwsAsync(run(process.execPath, [hub, 'check', file]))
  t.regex(refused?.message ?? '', /configuration\.yaml/)
})

test('where others may write, or nothing can be made, the source runs', async (t) => {
  const top = await temporaryFolder(t)
  const open = join(top, 'open')
  await mkdir(open)
  await chmod(open, 0o777)
  t.is(findProgram('hub', process.execPath, [open]), undefined)
  t.deepEqual(await readdir(open), [])
  const own = join(top, 'own')
  t.is(findProgram('hub', '/bin/false', [own]), undefined)
  t.deepEqual(await readdir(own), [], 'nothing half is left')
  t.is(findProgram('hub', process.execPath, ['/dev/null/programs']), undefined)
  const next = findProgram('hub', process.execPath, [open, own]) ?? ''
  t.true(next.startsWith(own), 'the next folder is taken')
  if (process.getuid?.() !== 0) return
  await chown(own, 54_321, 54_321)
  t.is(findProgram('hub', process.execPath, [own]), undefined, "somebody else's is not run")
})
