import test from 'ava'
import { spawnerContract } from '../../spawners/contract.ts'
import { startFakeBackend } from '../support/fakeBackend.ts'
import { fakeSubject } from '../support/fakeSubject.ts'

for (const { title, run } of spawnerContract) {
  test(`fake: ${title}`, async (t) => {
    const backend = await startFakeBackend()
    t.teardown(backend.close)
    backend.behave({ startMs: 50 })
    await run(fakeSubject(backend))
    t.pass()
  })
}
