/** The contract suite is worth something only if a spawner that breaks a promise fails it: one mutant for each. */
import test from 'ava'
import { spawnerContract, type ContractSubject } from '../../spawners/contract.ts'
import type { EnvironmentId, Found, Observation, Spawner } from '../../spawners/spawner.ts'
import { startFakeBackend, type FakeBackend, type FakeProfile } from '../support/fakeBackend.ts'
import { fakeSubject } from '../support/fakeSubject.ts'

type Mutate = (whole: Spawner<FakeProfile>, backend: FakeBackend) => Partial<Spawner<FakeProfile>>

const mutants: readonly (readonly [broken: string, failing: string, mutate: Mutate])[] = [
  ['ensure does nothing', 'an accepted environment', () => ({ ensure: () => Promise.resolve() })],
  ['the host is not told', 'an accepted environment', onObservation((seen) => ({ ...seen, hosts: [] }))],
  ['ids get a prefix', 'names are ids', onFound((id, found) => [`x${id}`.slice(0, 30), found])],
  [
    'the owner is lost',
    'owner and digest',
    onFound((id, { observation, digest }) => [id, { observation, ...(digest && { digest }) }]),
  ],
  [
    'the digest is lost',
    'owner and digest',
    onFound((id, { observation, owner }) => [id, { observation, ...(owner && { owner }) }]),
  ],
  [
    'ensure starts it again',
    'ensure twice is once',
    (whole) => ({
      async ensure(spec, signal) {
        await whole.remove(spec.id, signal)
        await whole.ensure(spec, signal)
      },
    }),
  ],
  [
    'what ended is started again',
    'what ended with 0',
    (whole) => ({
      async ensure(spec, signal) {
        const phase = (await whole.observe(signal)).get(spec.id)?.observation.phase
        if (phase === 'ended') await whole.remove(spec.id, signal)
        await whole.ensure(spec, signal)
      },
    }),
  ],
  ['remove does nothing', 'remove makes it not exist', () => ({ remove: () => Promise.resolve() })],
  [
    'remove of nothing fails',
    'remove of what never was',
    (whole) => ({
      async remove(id, signal) {
        if (!(await whole.observe(signal)).has(id)) throw new Error('there is none')
        await whole.remove(id, signal)
      },
    }),
  ],
  ['every end is a success', 'what ended with 3', onObservation((seen) => ({ ...seen, reason: 'completed' }))],
  ['the exit code is lost', 'what ended with 3', onObservation((seen) => ({ ...seen, exitCode: undefined }))],
  [
    'a refusal is an ordinary error',
    'what can never run',
    (whole) => ({
      ensure: (spec, signal) =>
        whole.ensure(spec, signal).catch((cause: unknown) => Promise.reject(new Error('no', { cause }))),
    }),
  ],
  [
    "another hub's are seen",
    "another hub's environments",
    (_whole, backend) => ({
      observe: () => {
        const all = Object.entries(backend.state().environments)
        return Promise.resolve(new Map(all.map(([id, { observation }]) => [id as EnvironmentId, { observation }])))
      },
    }),
  ],
  [
    "another hub's are removed",
    "another hub's environments",
    (whole, backend) => ({
      remove(id, signal) {
        backend.lose(id)
        return whole.remove(id, signal)
      },
    }),
  ],
  ['logs have no bound', 'logs are there', () => ({ logs: () => Promise.resolve('x'.repeat(300_000)) })],
  ['logs are empty', 'logs are there', () => ({ logs: () => Promise.resolve('') })],
  [
    'signals are not looked at',
    'an aborted call',
    (whole) => ({ ensure: (spec) => whole.ensure(spec, AbortSignal.timeout(10_000)) }),
  ],
  ['watch tells nothing', 'a change is called back', () => ({ watch: (_changed, signal) => aborted(signal) })],
  [
    'watch does not end',
    'a change is called back',
    (whole) => ({ watch: (changed) => whole.watch?.(changed, AbortSignal.timeout(30_000)) ?? Promise.resolve() }),
  ],
  ['the end is not moved', 'the end time', () => ({ extend: () => Promise.resolve() })],
  [
    'no answer is an empty answer',
    'a backend that can tell nothing',
    (whole) => ({
      observe: (signal) => whole.observe(AbortSignal.any([signal, AbortSignal.timeout(500)])).catch(() => new Map()),
    }),
  ],
  [
    'a removal that nobody answered is done',
    'a backend that can tell nothing',
    (whole) => ({
      remove: (id, signal) =>
        whole.remove(id, AbortSignal.any([signal, AbortSignal.timeout(500)])).catch(() => undefined),
    }),
  ],
]

for (const [broken, failing, mutate] of mutants) {
  test(`when ${broken}, "${failing} …" fails`, async (t) => {
    const contractCase = spawnerContract.find(({ title }) => title.startsWith(failing))
    if (!contractCase) return t.fail(`there is no case that begins with "${failing}"`)
    const backend = await startFakeBackend()
    t.teardown(backend.close)
    backend.behave({ startMs: 20 })
    const whole = fakeSubject(backend)
    let made = 0
    const subject: ContractSubject<FakeProfile> = {
      ...whole,
      patienceMs: 2_000,
      async spawner(hub) {
        const spawner = await whole.spawner(hub)
        made += 1
        return { ...spawner, ...mutate(spawner, backend) }
      },
    }
    await t.throwsAsync(contractCase.run(subject))
    t.true(made > 0)
  })
}

/** Changes each observation that has what is to be changed. */
function onObservation(change: (seen: Observation) => object): Mutate {
  return onFound((id, found) => {
    const { observation } = found
    const isMeant = observation.phase === 'running' || observation.phase === 'ended'
    return [id, isMeant ? { ...found, observation: change(observation) as Observation } : found]
  })
}

function onFound(change: (id: EnvironmentId, found: Found) => readonly [string, Found]): Mutate {
  return (whole) => ({
    async observe(signal) {
      const seen = await whole.observe(signal)
      return new Map([...seen].map(([id, found]) => change(id, found) as [EnvironmentId, Found]))
    },
  })
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve())
  })
}
