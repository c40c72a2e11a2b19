import test from 'ava'
import { spawnerContract, type ContractSubject } from '../../spawners/contract.ts'
import { startFakeBackend, type FakeProfile } from '../support/fakeBackend.ts'
import fakeSpawner from '../support/fakeSpawner.ts'
import { contractSpec, spawnerContext } from '../support/spawnerSubject.ts'

for (const { title, run } of spawnerContract) {
  test(`fake: ${title}`, async (t) => {
    const backend = await startFakeBackend()
    backend.behave({ startMs: 50 })
    t.teardown(backend.close)
    const subject: ContractSubject<FakeProfile> = {
      spawner: (hub) =>
        fakeSpawner.create(fakeSpawner.configSchema.parse({ url: backend.url }), spawnerContext({ hub })),
      spec(hub, id, behaviour) {
        switch (behaviour.does) {
          case 'run':
            return contractSpec(hub, id, {})
          case 'print':
            return contractSpec(hub, id, { print: behaviour.bytes })
          case 'end':
            return contractSpec(hub, id, { endAfterMs: 50, exitCode: behaviour.exitCode })
          case 'refuse':
            return contractSpec(hub, id, { refuse: 'There is no such machine' })
        }
      },
      cut: () => {
        backend.behave({ silentForMs: 3_600_000 })
        return Promise.resolve(() => Promise.resolve(backend.behave({ silentForMs: 0 })))
      },
      count: (id) => Promise.resolve(id in backend.state().environments ? 1 : 0),
    }
    await run(subject)
    t.pass()
  })
}
