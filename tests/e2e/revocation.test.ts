/** The end of a login reaches what it opened: the real hub, proxy and terminal. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { hostileConfiguration } from '../support/hostile-application.ts'
import { startHutch } from '../support/hutch.ts'
import { logInAs, type Scientist } from '../support/scientist.ts'
import { openShell, type Shell, shellCloses, typeInto } from '../support/shell.ts'
import { temporaryFolder } from '../support/temporary.ts'

test('logging out closes the terminals of this login and of no other', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'hutch.json')
  await writeFile(file, hostileConfiguration())
  const hutch = await startHutch(t, { state: join(folder, 'state'), args: ['--config', file] })
  const passwords = await hutch.passwords()
  const browser = async (): Promise<Scientist> => await logInAs(hutch.url, 'ada', passwords['ada'] ?? '')
  const [first, second, third] = [await browser(), await browser(), await browser()]
  const launched = await first.launch({ profile: 'terminal', flavour: 'small' })
  const terminals = []
  for (const each of [first, second, third]) {
    await each.enter(launched)
    terminals.push(await openShell(each, launched))
  }
  const [ofFirst, ofSecond, ofThird] = terminals
  if (ofFirst === undefined || ofSecond === undefined || ofThird === undefined) return t.fail()

  const left = await first.jar.ask(`${hutch.url}/hub/logout`, { method: 'POST', form: {} })
  t.true(left.status < 400)
  const ms = await shellCloses(ofFirst)
  t.log(`closed ${Math.round(ms)} ms after the logout was answered`)
  t.is((await fetch(launched.url, { headers: entryOf(first) })).status, 401, 'its entry is worth nothing now')
  await works(ofSecond)
  await works(ofThird)

  const { login } = claimsOf(second)
  const ended = await third.jar.ask(`${hutch.url}/hub/sessions/${login}/end`, { method: 'POST', form: {} })
  t.is(ended.status, 303)
  t.log(`closed ${Math.round(await shellCloses(ofSecond))} ms after it was ended from another browser`)
  t.is((await second.api('GET', '/environments')).status, 401)
  await works(ofThird)
  ofThird.socket.terminate()
})

async function works(shell: Shell): Promise<void> {
  await typeInto(shell, 'echo $((6*7))', /^42/m)
}

function entryOf({ jar }: Scientist): Record<string, string> {
  return { cookie: `hutch-entry=${jar.cookie('hutch-entry') ?? ''}`, accept: 'application/json' }
}

function claimsOf({ jar }: Scientist): { login: string } {
  const [payload = ''] = (jar.cookie('hutch-entry') ?? '').split('.')
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as { login: string }
}
