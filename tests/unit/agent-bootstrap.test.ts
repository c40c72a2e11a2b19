/** The hand-written check of the bootstrap says what the schema says. */
import test from 'ava'
import * as fc from 'fast-check'
import { agentBootstrapSchema, type AgentBootstrap } from '../../images/agent/bootstrap.ts'
import { readHubWord, type HubWord } from '../../images/agent/hub-word.ts'
import { checkBootstrap } from '../../images/agent/read-bootstrap.ts'

const text = fc.string({ maxLength: 12 })
const bootstrap: fc.Arbitrary<AgentBootstrap> = fc.record(
  {
    version: fc.constant(1 as const),
    id: fc.stringMatching(/^[a-z][a-z0-9]{0,29}$/),
    key: fc.stringMatching(/^[A-Za-z0-9_-]{43}$/),
    report: fc.record({ host: text, port: fc.integer({ min: 1, max: 65_535 }) }),
    listen: fc.record({ host: text, ports: fc.tuple(fc.nat(), fc.nat()) }, { requiredKeys: ['host'] }),
    prefix: fc.stringMatching(/^\/[a-z]{0,8}\/$/),
    user: text,
    application: fc.record(
      {
        kind: fc.constantFrom('notebook', 'terminal', 'desktop', 'web'),
        argv: fc.array(text, { maxLength: 4 }),
        readyPath: text,
        landingPath: text,
        directory: text,
      },
      { requiredKeys: ['kind', 'argv', 'readyPath', 'landingPath'] },
    ),
    directories: fc.array(fc.record({ name: text, path: text, readOnly: fc.boolean() }), { maxLength: 4 }),
    socketFolder: text,
    plain: fc.record({ variables: fc.dictionary(text, text, { maxKeys: 4 }) }),
    startTimeoutMs: fc.integer({ min: 1 }),
    stopTimeoutMs: fc.integer({ min: 1 }),
  },
  {
    requiredKeys: [
      'version',
      'id',
      'key',
      'report',
      'listen',
      'prefix',
      'user',
      'application',
      'directories',
      'startTimeoutMs',
      'stopTimeoutMs',
    ],
  },
)

/** Anything in the place of anything, a field more, or one less. */
const damage = fc.record({
  at: fc.array(fc.nat(20), { minLength: 1, maxLength: 3 }),
  with: fc.oneof(
    fc.constant('delete'),
    fc.constant('add'),
    fc.jsonValue().map((value) => ({ value })),
  ),
})

test('what is valid is read unchanged', (t) => {
  fc.assert(fc.property(bootstrap, (value) => void t.deepEqual(checkBootstrap(structuredClone(value)), value)))
})

test('after any damage both agree', (t) => {
  let refused = 0
  fc.assert(
    fc.property(bootstrap, damage, (value, harm) => {
      const damaged = damageIt(structuredClone(value), harm)
      const isValid = agentBootstrapSchema.safeParse(damaged).success
      if (!isValid) refused += 1
      if (isValid) t.deepEqual(checkBootstrap(damaged), damaged as AgentBootstrap)
      else t.throws(() => checkBootstrap(damaged), { message: /^the bootstrap is wrong: / })
    }),
    { numRuns: 2_000 },
  )
  t.true(refused > 500, 'most damage is damage')
})

test('whatever it is, it is read or refused in one line that does not quote it', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const error = t.throws(() => checkBootstrap(value))
      t.notRegex(error?.message ?? '', /\n/)
    }),
  )
})

function damageIt(value: unknown, { at, with: how }: { at: number[]; with: unknown }): unknown {
  let parent = value as Record<string, unknown>
  for (const [depth, step] of at.entries()) {
    const keys = Object.keys(parent)
    const key = keys[step % Math.max(1, keys.length)]
    if (key === undefined) return value
    const child = parent[key]
    if (depth < at.length - 1 && typeof child === 'object' && child !== null) {
      parent = child as Record<string, unknown>
      continue
    }
    if (how === 'add' && !Array.isArray(parent)) Object.defineProperty(parent, 'more', { value: 1, enumerable: true })
    else if (how === 'delete' && !Array.isArray(parent)) delete parent[key]
    else if (typeof how === 'object' && how !== null && 'value' in how) parent[key] = how.value
    break
  }
  return value
}

const word = {
  version: 1,
  timeUrl: 'https://hub.example/hub/environments/e1/time',
  renewUrl: 'http://hub.example:8000/hub/login/renew?environment=e1',
  warnMs: 600_000,
  loginWarnMs: 300_000,
  ends: { inMs: -5, cause: 'idle', why: 'It is not being used.', canExtend: false },
}

test('what the hub answers is taken whole, or counts for nothing', (t) => {
  const { ends, ...endless } = word
  t.deepEqual(readHubWord(JSON.stringify(word)), word as HubWord)
  t.deepEqual(readHubWord(JSON.stringify(endless)), endless as HubWord)
  t.is(readHubWord(JSON.stringify({ ...word, later: 1 }))?.warnMs, 600_000, 'a later hub may say more')
  for (const wrong of [
    { ...word, version: 2 },
    { ...word, timeUrl: 'javascript:alert(1)' },
    { ...word, renewUrl: 'https://[' },
    { ...word, warnMs: '600' },
    { ...endless, loginWarnMs: null },
    { ...word, ends: null },
    { ...word, ends: { ...ends, cause: 'whim' } },
    { ...word, ends: { ...ends, inMs: undefined } },
    { ...word, ends: { ...ends, canExtend: 'no' } },
    { ...word, ends: { ...ends, why: 'x'.repeat(501) } },
    [],
    null,
    'ok',
  ]) {
    t.is(readHubWord(JSON.stringify(wrong)), undefined, JSON.stringify(wrong))
  }
  t.is(readHubWord(''), undefined)
})
