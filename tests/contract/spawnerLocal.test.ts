import test from 'ava'
import { spawnerContract } from '../../spawners/contract.ts'
import { available, program } from '../support/component.ts'
import { localSite, localSubject } from '../support/localSubject.ts'
import { temporaryFolder } from '../support/temporary.ts'

for (const { title, run } of spawnerContract) {
  test(`local: ${title}`, async (t) => {
    if (!available(t, 'bubblewrap', program('bwrap'), 'apt-get install bubblewrap')) return
    const site = await localSite(await temporaryFolder(t))
    t.teardown(site.close)
    await run(localSubject(site))
    t.pass()
  })
}
