/** How full a home is: what programs print, whoever is asked too often, and programs that fail. */
import test from 'ava'
import { createHomeStorage, type HomeUse, readCommand, readQuota } from '../../hub/accounts/home-storage.ts'
import { runProgram } from '../../hub/setup/program.ts'
import { silentLog } from '../support/spawnerSubject.ts'

const head = `Disk quotas for user ada (uid 61000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
`
const kib = 1024
const quotas: readonly (readonly [string, string, HomeUse | undefined])[] = [
  ['none', 'Disk quotas for user ada (uid 61000): none\n', undefined],
  ['nothing at all', '', undefined],
  [
    'within',
    `${head}    nas:/home    5000    8000   10000       0     120       0       0       0\n`,
    { usedBytes: 5000 * kib, limitBytes: 10_000 * kib, share: 0.5 },
  ],
  [
    'over the soft limit',
    `${head}    nas:/home    9000*    8000       0 1764000000     120       0       0       0\n`,
    { usedBytes: 9000 * kib, limitBytes: 8000 * kib, share: 1.125 },
  ],
  [
    'too many files',
    `${head}    nas:/home    10    8000       10000 0     500*       400       500       0\n`,
    { usedBytes: 10 * kib, limitBytes: 10_000 * kib, share: 1 },
  ],
  ['no limit', `${head} nas:/home 10 0 0 0 5 0 0 0\n`, { usedBytes: 10 * kib }],
  [
    'the fullest of several',
    `${head} nas:/scratch 10 0 100 0 5 0 0 0\n nas:/home 90 0 100 0 5 0 0 0\n`,
    { usedBytes: 90 * kib, limitBytes: 100 * kib, share: 0.9 },
  ],
]
for (const [title, text, expected] of quotas) test(`quota: ${title}`, (t) => t.deepEqual(readQuota(text), expected))

const answers: readonly (readonly [string, HomeUse | undefined])[] = [
  ['{"usedBytes": 50, "limitBytes": 100}\n', { usedBytes: 50, limitBytes: 100, share: 0.5 }],
  ['\n{"usedBytes": 50}', { usedBytes: 50 }],
  ['{"usedBytes": 50, "limitBytes": 0}', { usedBytes: 50 }],
  ['{"usedBytes": -1}', undefined],
  ['{"usedBytes": "much"}', undefined],
  ['no idea', undefined],
  ['', undefined],
]
for (const [text, expected] of answers) {
  test(`command: ${text.trim() || 'nothing'}`, (t) => t.deepEqual(readCommand(text), expected))
}

const user = { id: 'u1', name: 'ada', title: 'Ada', admin: false }
const account = { name: 'ada', uid: 61_000, gid: 61_000, groups: [], home: '/home/ada', shell: '/bin/sh' }

test('a program of the facility is asked with the account, once in a while; one that hangs or fails keeps nobody waiting', async (t) => {
  let at = 0
  const asked: (readonly string[])[] = []
  const storage = (command: readonly string[]) =>
    createHomeStorage({
      configuration: { from: 'command', command: [...command], every: 60_000, warnAt: 0.9 },
      accounts: { of: () => Promise.resolve(account) },
      run(argv, timeoutMs) {
        asked.push(argv)
        return runProgram(argv, { timeoutMs })
      },
      now: () => new Date(at),
      log: silentLog,
    })
  const good = storage(['/bin/sh', '-c', 'printf \'{"usedBytes": %s}\' "$1"', '{user}', '{uid}'])
  t.deepEqual(await good.of(user), { usedBytes: 61_000 })
  t.deepEqual(await good.of(user), { usedBytes: 61_000 })
  t.is(asked.length, 1)
  at += 61_000
  await good.of(user)
  t.is(asked.length, 2)
  t.deepEqual(asked[0]?.slice(-2), ['ada', '61000'])
  t.is(await storage(['/bin/sh', '-c', 'exit 3']).of(user), undefined)
  t.is(await storage(['/nowhere/program']).of(user), undefined)
  const begun = performance.now()
  t.is(await storage(['/bin/sleep', '3']).of(user), undefined)
  t.true(performance.now() - begun < 2_500, 'the page does not wait for it')
})
