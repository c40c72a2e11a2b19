import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { createJar } from '../support/browser-jar.ts'
import { startHub } from '../support/identity.ts'
import { temporaryFolder } from '../support/temporary.ts'

test('a demo person logs in end to end and out again', async (t) => {
  const demoFolder = await temporaryFolder(t)
  const hub = await startHub(t, { demoFolder })
  const [ada] = hub.demo?.people ?? []
  t.is(ada?.name, 'ada')
  const browser = createJar()

  const before = await browser.ask(`${hub.url}/hub/who`)
  t.deepEqual(JSON.parse(before.text), { visitor: null })

  const form = await browser.open(`${hub.url}/hub/login/demo?next=${encodeURIComponent('/hub/who?after=1')}`)
  t.is(form.status, 200)
  t.regex(form.text, /This is a demo/)
  const after = await browser.open(form.url, {
    method: 'POST',
    form: { name: 'ada', password: ada?.password ?? '' },
  })
  t.is(after.url, `${hub.url}/hub/who?after=1`)
  const { visitor } = JSON.parse(after.text)
  t.like(visitor, { by: 'cookie', provider: 'demo', groups: ['demo'] })
  t.like(visitor.user, { name: 'ada', title: 'Ada Lovelace', admin: false })

  const out = await browser.open(`${hub.url}/hub/logout`, { method: 'POST' })
  t.regex(out.text, /You are logged out here/)
  t.is(hub.revocations.length, 1)
  t.deepEqual(JSON.parse((await browser.ask(`${hub.url}/hub/who`)).text), { visitor: null })

  for (const file of ['demo-people.json', 'demo-keys.json']) {
    t.is((await stat(join(demoFolder, file))).mode & 0o777, 0o600, file)
  }
})
