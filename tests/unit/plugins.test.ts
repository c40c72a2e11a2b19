/** What plug-ins answer is looked at: what is not as promised is a failure of theirs, and decides nothing. */
import test from 'ava'
import { Problem } from '../../hub/domain/problem.ts'
import { pluginAccounts } from '../../hub/plugins/accounts.ts'
import { pluginMatching } from '../../hub/plugins/matching.ts'
import { pluginSend } from '../../hub/plugins/notifier.ts'
import type { AccountPlugin, MatchingPlugin, NotifierPlugin } from '../../hub/plugins/plugin.ts'

const never = (): Promise<never> => new Promise(() => {})
/** Not AbortSignal.timeout: a process with nothing else to do would not wait for it. */
function soon(): AbortSignal {
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('too late')), 50)
  return controller.signal
}
const account = { name: 'ada', uid: 2_001, gid: 2_001, groups: [], home: '/home/ada', shell: '/bin/sh' }

test('accounts', async (t) => {
  const find = (answer: () => Promise<unknown>) => pluginAccounts({ find: answer } as AccountPlugin).find('ada', soon())
  t.deepEqual(await find(async () => ({ ...account, extra: 1 })), account)
  t.is(await find(async () => undefined), undefined)
  t.is(await find(async () => null), undefined)
  for (const wrong of [
    {},
    'ada',
    { ...account, name: 'root' },
    { ...account, uid: '2001' },
    { ...account, uid: -1 },
    { ...account, uid: 2 ** 32 - 1 },
    { ...account, home: 'home' },
    { ...account, groups: [{ name: 'x' }] },
  ]) {
    await t.throwsAsync(
      find(async () => wrong),
      undefined,
      JSON.stringify(wrong),
    )
  }
  await t.throwsAsync(find(never), { message: 'too late' })
})

test('matching', async (t) => {
  const identity = { provider: 'umbrella', issuer: 'https://x.org', subject: 's', claims: {} }
  const match = (answer: () => Promise<unknown>) =>
    pluginMatching({ match: answer } as MatchingPlugin)(identity, soon())
  t.deepEqual(await match(async () => ({ account: 'ada' })), { account: 'ada' })
  t.is(await match(async () => undefined), undefined)
  for (const wrong of [async () => 'ada', async () => ({}), async () => ({ account: '' }), never]) {
    const problem = await t.throwsAsync(match(wrong), { instanceOf: Problem })
    t.is(problem.type, 'providerUnreachable')
  }
})

test('notifier', async (t) => {
  const message = { id: 'm', to: 'ada@example.org', subject: 's', text: 't' }
  const send = (answer: () => Promise<unknown>) => pluginSend({ send: answer } as NotifierPlugin)(message)
  t.deepEqual(await send(async () => ({ is: 'sent' })), { is: 'sent' })
  const failed = { is: 'failed', message: 'full', permanent: true }
  t.deepEqual(await send(async () => failed), failed)
  for (const wrong of [undefined, true, { is: 'done' }, { is: 'failed' }]) {
    t.like(await send(async () => wrong), { is: 'failed', permanent: false }, JSON.stringify(wrong))
  }
  t.like(await send(() => Promise.reject(new Error('away'))), {
    message: 'the notifier failed: away',
    permanent: false,
  })
})
