/** The example plug-ins pass the contract of their kind, and broken ones do not. */
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { accountContract, type AccountSubject } from '../../hub/plugins/contracts/accounts.ts'
import type { AccountPlugin } from '../../hub/plugins/plugin.ts'
import { makePlugin, resolvePlugin } from '../../hub/plugins/resolve.ts'
import { passes } from '../support/contract.ts'
import { quietLog } from '../support/quiet-log.ts'
import { temporaryFolder } from '../support/temporary.ts'

const examples = new URL('../../config/plugins/', import.meta.url).pathname
const tools = { log: quietLog, now: () => new Date(), fetch }

async function jsonAccounts(t: ExecutionContext): Promise<AccountSubject> {
  const path = join(await temporaryFolder(t), 'accounts.json')
  const one = (uid: number) => ({ uid, gid: uid, home: `/home/${uid}`, groups: [{ name: 'staff', gid: 50 }] })
  await writeFile(path, JSON.stringify({ ada: one(2_001), marie: one(2_002) }))
  const { file } = await resolvePlugin('accounts', './accounts-json', examples)
  return {
    known: ['ada', 'marie'],
    unknown: 'grace',
    make: () => makePlugin('accounts', { package: file, options: { path } }, tools),
    async cut() {
      await rename(path, `${path}.away`)
      return () => rename(`${path}.away`, path)
    },
  }
}

for (const { title, run } of accountContract) {
  test(`accounts-json: ${title}`, async (t) => {
    await run(await jsonAccounts(t))
    t.pass()
  })
}

type Breaks = (sound: AccountPlugin) => AccountPlugin
const broken: Readonly<Record<string, Breaks>> = {
  'finds nobody': () => ({ find: () => Promise.resolve(undefined) }),
  'finds somebody for every name': (sound) => ({ find: (_name, signal) => sound.find('ada', signal) }),
  'calls a failure an absence': (sound) => ({ find: (...asked) => sound.find(...asked).catch(() => undefined) }),
  'throws for who has none': (sound) => ({
    async find(...asked) {
      return (await sound.find(...asked)) ?? Promise.reject(new Error('none'))
    },
  }),
  'repeats the primary group': (sound) => ({
    async find(...asked) {
      const account = await sound.find(...asked)
      return account && { ...account, groups: [{ name: 'own', gid: account.gid }] }
    },
  }),
  'answers with text for numbers': (sound) => ({
    async find(...asked) {
      const account = await sound.find(...asked)
      return account && ({ ...account, uid: String(account.uid) } as unknown as typeof account)
    },
  }),
}

for (const [what, breaks] of Object.entries(broken)) {
  test(`accounts that are broken fail the contract: ${what}`, async (t) => {
    const subject = await jsonAccounts(t)
    t.false(await passes(accountContract, { ...subject, make: async () => breaks(await subject.make()) }))
  })
}
