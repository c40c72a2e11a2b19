/** Others in somebody's environment, on the real hub, proxy and terminal, where environments have hosts of their own. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Page } from '../support/browser-jar.ts'
import { hostileConfiguration } from '../support/hostile-application.ts'
import { freePort, startHutch, type RunningHutch } from '../support/hutch.ts'
import { logInAs, type Launched, type Scientist } from '../support/scientist.ts'
import { openShell, shellCloses, typeInto } from '../support/shell.ts'
import { temporaryFolder } from '../support/temporary.ts'

interface Site {
  readonly hutch: RunningHutch
  readonly file: string
  readonly ada: Scientist
  readonly marie: Scientist
  /** A local contact. */
  readonly rosalind: Scientist
  readonly lab: Launched
}

test('a guest by a share, one of the staff with a reason; what ends it closes what they opened', async (t) => {
  const site = await start(t)
  const { ada, marie, rosalind, lab, hutch } = site
  const sharing = `${hutch.url}/hub/environments/${lab.id}/sharing`
  const ofAda = (path: string, form: Record<string, string> = {}): Promise<Page> =>
    ada.jar.ask(path.startsWith('http') ? path : `${hutch.url}${path}`, { method: 'POST', form })

  t.is((await marie.jar.open(lab.url)).status, 404, "nobody's business that it is there")
  const view = await ofAda(sharing, { with: 'marie', kind: 'user', role: 'viewer', hours: '1' })
  t.is(view.status, 400)
  t.regex(view.text, /can only be shared for use/)
  t.regex((await ofAda(sharing, { with: 'nobody-here', hours: '1' })).text, /There is nobody named/)

  t.is((await ofAda(sharing, { with: 'marie', kind: 'user', role: 'guest', hours: '1' })).status, 303)
  const told = await marie.jar.open(lab.url)
  t.regex(told.text, /Everything in it runs as <strong>ada<\/strong>, not as you/)
  t.true((await enterBy(marie, lab, told)).status < 400)
  const first = await openShell(marie, lab)
  await typeInto(first, 'echo "$USER-$((6*7))"', /^ada-42/m)
  t.regex((await marie.jar.open(`${hutch.url}/hub/home`)).text, /Shared with me/)

  const [share] = await shares(site)
  t.like(share, {
    kind: 'user',
    user: { name: 'marie' },
    role: 'guest',
    scopes: [`access:servers!server=ada/${lab.id}`],
  })
  const page = await ada.jar.open(sharing)
  const [, shareId = ''] = /sharing\/(\w+)\/end/.exec(page.text) ?? []
  t.is((await ofAda(`${sharing}/${shareId}/end`)).status, 303)
  t.log(`closed ${Math.round(await shellCloses(first))} ms after the share was ended`)
  t.true([401, 404].includes((await asProgram(marie, lab)).status))
  t.is((await marie.jar.open(lab.url)).status, 404)

  t.regex((await ada.jar.open(sharing)).text, /Marie Curie has no access any more/)
  t.is((await ofAda(`${sharing}/${shareId}/restore`)).status, 303)
  const again = await marie.jar.open(lab.url)
  t.notRegex(again.text, /not as you/, 'she knows')
  t.true((await enterBy(marie, lab, again)).status < 400)
  const second = await openShell(marie, lab)

  t.is(await jupyterHub(site, 'PATCH', `/shares/ada/${lab.id}`, { user: 'marie' }), 200)
  await shellCloses(second)
  const { accept_url: link } = await jupyterHubBody<{ accept_url: string }>(
    site,
    'POST',
    `/share-codes/ada/${lab.id}`,
    {},
  )
  t.regex((await marie.jar.open(hutch.url + link)).text, /ada shares an environment with you/)
  const code = new URL(link, hutch.url).searchParams.get('code') ?? ''
  t.is((await marie.jar.ask(`${hutch.url}/hub/accept-share`, { method: 'POST', form: { code } })).status, 303)
  t.like((await shares(site))[0], { user: { name: 'marie' } })
  t.is(
    (await marie.jar.ask(`${hutch.url}/hub/accept-share`, { method: 'POST', form: { code: `${code}x` } })).status,
    404,
  )

  await staff(t, site)
  const audit = await trail(site)
  for (const [did, who] of [
    ['share.made', 'ada'],
    ['environment.entered', 'marie'],
    ['share.ended', 'ada'],
    ['environment.entered', 'rosalind'],
    ['visit.ended', 'ada'],
  ]) {
    t.true(
      audit.some((line) => line.did === did && line.who === who && line.what === lab.id),
      `${did} by ${who}`,
    )
  }
  t.like(
    audit.find((line) => line.did === 'environment.entered' && line.who === 'rosalind'),
    { toWhom: 'ada', detail: { role: 'administrator', reason: 'Ticket 4711' } },
  )
  await rosalind.jar.ask(`${hutch.url}/hub/logout`, { method: 'POST', form: {} })
})

async function staff(t: ExecutionContext, { ada, rosalind, lab, hutch }: Site): Promise<void> {
  const asked = await rosalind.jar.open(lab.url)
  t.regex(asked.text, /Why do you enter\?/)
  const field = fieldsOf(asked)
  const say = (reason: string): Promise<Page> =>
    rosalind.jar.ask(`${hutch.url}/hub/enter`, { method: 'POST', form: { ...field, reason } })
  const unsaid = await say('  ')
  t.is(unsaid.status, 400)
  t.regex(unsaid.text, /Say in a sentence why/)
  t.true((await enterBy(rosalind, lab, await say('Ticket 4711'))).status < 400)
  const terminal = await openShell(rosalind, lab)
  await typeInto(terminal, 'echo $((6*7))', /^42/m)

  const home = await ada.jar.open(`${hutch.url}/hub/home`)
  t.regex(home.text, /<strong>Rosalind Franklin<\/strong> of the staff entered/)
  t.regex(home.text, /“Ticket 4711”/)
  t.true((await rosalind.jar.open(lab.url)).url.startsWith(lab.url), 'it is said once for a while')
  const { body } = await ada.api<{ items: { id: string; role: string }[] }>('GET', `/environments/${lab.id}/visits`)
  const [visit] = body.items
  t.is(visit?.role, 'administrator')
  t.is((await rosalind.api('GET', `/environments/${lab.id}/visits`)).status, 404, 'the list is its owner’s')
  t.is((await ada.api('POST', `/visits/${visit?.id}/end`)).status, 204)
  t.log(`closed ${Math.round(await shellCloses(terminal))} ms after its owner ended the visit`)
  t.regex((await rosalind.jar.open(lab.url)).text, /Why do you enter\?/)

  const { status, body: announced } = await rosalind.api<{ url: string }>('POST', `/environments/${lab.id}/visits`, {
    reason: 'Ticket 4712',
  })
  t.is(status, 201)
  t.true(announced.url.startsWith(lab.url))
  await enterBy(rosalind, lab, await rosalind.jar.open(lab.url))
  const last = await openShell(rosalind, lab)
  await rosalind.jar.copy().ask(`${hutch.url}/hub/logout`, { method: 'POST', form: {} })
  t.log(`closed ${Math.round(await shellCloses(last))} ms after the login was over`)
}

async function start(t: ExecutionContext): Promise<Site> {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'hutch.json')
  const port = await freePort()
  const publicUrl = `http://localhost:${port}`
  const roles = { contacts: { like: 'local-contact', users: ['rosalind'] } }
  await writeFile(file, hostileConfiguration({ publicUrl, environments: { hosts: '{user}.localhost' }, roles }))
  const hutch = await startHutch(t, { state: join(folder, 'state'), args: ['--config', file], port, publicUrl })
  const passwords = await hutch.passwords()
  const [ada, marie, rosalind] = await Promise.all(
    (['ada', 'marie', 'rosalind'] as const).map((name) => logInAs(hutch.url, name, passwords[name] ?? '')),
  )
  if (!ada || !marie || !rosalind) throw new Error('not everybody could log in')
  const lab = await ada.launch({ profile: 'terminal', flavour: 'small', title: 'Lab' })
  await ada.enter(lab)
  return { hutch, file, ada, marie, rosalind, lab }
}

/** From whatever the hub shows first to the environment itself. */
async function enterBy({ jar }: Scientist, launched: Launched, shown: Page): Promise<Page> {
  const [, understood] = /href="(\/hub\/enter\?[^"]+)"/.exec(shown.text) ?? []
  const hub = new URL(shown.url)
  const page = understood ? await jar.open(new URL(understood.replaceAll('&amp;', '&'), hub).href) : shown
  const target = new URL('_hutch/enter', launched.url).href
  const headers = { origin: hub.origin, 'sec-fetch-site': 'cross-site' }
  return await jar.open(target, { method: 'POST', form: fieldsOf(page), headers })
}

function fieldsOf({ text }: Page): Record<string, string> {
  const fields = text.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)"/g)
  return Object.fromEntries([...fields].map(([, name = '', value = '']) => [name, value]))
}

async function asProgram({ jar }: Scientist, { url }: Launched): Promise<Page> {
  return await jar.ask(url, { headers: { accept: 'application/json', 'sec-fetch-mode': 'cors' } })
}

async function ask({ ada, hutch }: Site, method: string, path: string, body?: object): Promise<Response> {
  return await fetch(`${hutch.url}/hub/api${path}`, {
    method,
    headers: {
      cookie: ada.jar.header(`${hutch.url}/hub/`),
      origin: hutch.url,
      'sec-fetch-site': 'same-origin',
      'content-type': 'application/json',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  })
}

async function jupyterHub(site: Site, method: string, path: string, body: object): Promise<number> {
  return (await ask(site, method, path, body)).status
}

async function jupyterHubBody<T>(site: Site, method: string, path: string, body?: object): Promise<T> {
  return (await (await ask(site, method, path, body)).json()) as T
}

async function shares(site: Site): Promise<readonly object[]> {
  return (await jupyterHubBody<{ items: object[] }>(site, 'GET', `/shares/ada/${site.lab.id}`)).items
}

interface Line {
  readonly who: string
  readonly did: string
  readonly what?: string
}

async function trail({ hutch, file }: Site): Promise<readonly Line[]> {
  const hutchCommand = new URL('../../bin/hutch.js', import.meta.url).pathname
  const argv = [hutchCommand, 'audit', 'export', '--config', file, '--state', hutch.state]
  const { stdout } = await promisify(execFile)(process.execPath, argv, { timeout: 60_000 })
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}
