import type { ContractSubject } from '../../spawners/contract.ts'
import type { FakeBackend, FakeProfile } from './fakeBackend.ts'
import fakeSpawner from './fakeSpawner.ts'
import { contractSpec, spawnerContext } from './spawnerSubject.ts'

/** The fake spawner as a subject of the contract suite. */
export function fakeSubject(backend: FakeBackend): ContractSubject<FakeProfile> {
  return {
    spawner: (hub) => fakeSpawner.create(fakeSpawner.configSchema.parse({ url: backend.url }), spawnerContext({ hub })),
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
}
