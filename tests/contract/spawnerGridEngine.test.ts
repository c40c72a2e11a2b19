import { readdir } from 'node:fs/promises'
import test from 'ava'
import { gridEngineMissing } from '../clusters/gridengine/cluster.ts'
import { available } from '../support/component.ts'
import { essentialCases } from '../support/essentialCases.ts'
import { startGridEngineSite, type GridEngineSite } from '../support/gridEngineSite.ts'

let site: GridEngineSite | undefined

test.before(async (t) => {
  t.timeout(180_000)
  if (gridEngineMissing() === undefined) site = await startGridEngineSite()
})
test.after.always(async (t) => {
  t.timeout(120_000)
  await site?.close()
})

// All of them: tests/scale/commands.
for (const { title, run } of essentialCases) {
  test.serial(`on a real Grid Engine: ${title}`, async (t) => {
    t.timeout(180_000)
    const missing = gridEngineMissing()
    if (!available(t, 'Grid Engine', missing === undefined, `${missing ?? ''}; see tests/setup/packages.ts`)) return
    if (site === undefined) return t.fail('the cluster did not come up')
    await run(site.subject)
    t.pass()
  })
}

test.serial('on a real Grid Engine: no key is left in a home after it was read', async (t) => {
  t.false((site === undefined ? [] : await readdir(site.home)).some((name) => name.endsWith('.key')))
})
