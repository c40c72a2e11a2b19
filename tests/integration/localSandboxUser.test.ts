import { join } from 'node:path'
import test from 'ava'
import { runAsUser } from '../support/asUser.ts'
import { available, program } from '../support/component.ts'
import type { CaseResult } from '../support/localUserProcess.ts'
import { temporaryFolder } from '../support/temporary.ts'

const script = join(import.meta.dirname, '../support/localUserProcess.ts')

test('without root, sandboxed: no way out, and none to a neighbour of the same uid', async (t) => {
  if (!available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return
  const folder = await temporaryFolder(t)
  t.deepEqual(titles(await runAsUser(folder, [process.execPath, script, 'escapes', 'sandboxed', folder])), [])
})

test('without root and without a sandbox the same attempts succeed, so they are worth trying', async (t) => {
  const folder = await temporaryFolder(t)
  const found = titles(await runAsUser(folder, [process.execPath, script, 'escapes', 'open', folder]))
  for (const title of [
    "lists the hub's state",
    'reads a secret of the hub',
    "lists another's home by its path on the host",
    'finds the neighbour among the processes',
    'sees what others have in /tmp',
  ]) {
    t.true(found.includes(title), `${title} in ${found.join(', ')}`)
  }
  t.false(found.includes('finds a key in what its processes show'))
})

function titles(output: string): readonly string[] {
  return output
    .split('\n')
    .filter(Boolean)
    .map((line): CaseResult => JSON.parse(line))
    .map(({ title }) => title)
}
