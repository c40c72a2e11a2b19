import { join } from 'node:path'
import test from 'ava'
import { spawnerContract } from '../../spawners/contract.ts'
import { runAsUser } from '../support/asUser.ts'
import { available, program } from '../support/component.ts'
import type { CaseResult } from '../support/localUserProcess.ts'
import { temporaryFolder } from '../support/temporary.ts'

const script = join(import.meta.dirname, '../support/localUserProcess.ts')

for (const mode of ['sandboxed', 'open']) {
  test.serial(`local without root, ${mode}: the whole contract`, async (t) => {
    if (mode === 'sandboxed' && !available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return
    const folder = await temporaryFolder(t)
    const output = await runAsUser(folder, [process.execPath, script, 'contract', mode, folder])
    const results = output
      .trim()
      .split('\n')
      .map((line): CaseResult => JSON.parse(line))
    t.is(results.length, spawnerContract.length)
    for (const { title, error } of results) t.is(error, undefined, title)
  })
}
