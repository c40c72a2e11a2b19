/** Tools made for JupyterHub, unmodified: its single-user server of two releases, the idle culler, a service of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createApiClient, type ApiClient } from '../support/api-client.ts'
import { browser } from '../support/browser.ts'
import { fakeSite } from '../support/fakeSite.ts'
import { freePort, startHutch, type RunningHutch } from '../support/hutch.ts'
import { jupyterHubBin } from '../support/jupyterhub.ts'
import { openKernel } from '../support/kernel.ts'
import { personAt } from '../support/person.ts'
import { logInAs, type Launched, type Scientist } from '../support/scientist.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const patience = { timeoutMs: 180_000, everyMs: 200 }

interface Site {
  readonly hutch: RunningHutch
  readonly bin: string
  readonly folder: string
  readonly tokens: Readonly<Record<'culler' | 'whoami', string>>
  readonly servicePort: number
}

async function site(t: ExecutionContext): Promise<Site | undefined> {
  t.timeout(900_000, 'JupyterHub is set up, then servers start')
  const bin = await jupyterHubBin(t)
  if (bin === undefined) return undefined
  const folder = await temporaryFolder(t)
  const tokens = { culler: randomBytes(32).toString('hex'), whoami: randomBytes(32).toString('hex') }
  await mkdir(folder, { recursive: true })
  for (const [name, token] of Object.entries(tokens)) {
    await writeFile(join(folder, `${name}.token`), `${token}\n`)
    await chmod(join(folder, `${name}.token`), 0o600)
  }
  const servicePort = await freePort()
  const single = (title: string, variables: object): object => ({
    title,
    kind: 'notebook',
    protocol: 'jupyterhub',
    argv: [join(bin, 'jupyterhub-singleuser'), '--ServerApp.root_dir={home}'],
    flavours: ['small'],
    on: { here: {} },
    variables,
  })
  const args = await fakeSite({
    folder,
    backend: 'http://127.0.0.1:9',
    more: {
      environments: { outliveHub: false },
      spawners: {
        here: {
          type: 'local',
          allowUnsandboxed: true,
          allowUnlimited: true,
          allowUnencrypted: true,
          readOnlyPaths: [join(bin, '..')],
        },
        strict: { type: 'local', allowUnsandboxed: true, allowUnlimited: true },
      },
      profiles: {
        six: single('JupyterHub 6', {}),
        five: single('JupyterHub 5', { PYTHONPATH: join(bin, '../before') }),
        refused: { ...single('Not here', {}), on: { strict: {} } },
      },
      services: {
        culler: { apiTokenFile: 'culler.token' },
        whoami: { apiTokenFile: 'whoami.token', url: `http://127.0.0.1:${servicePort}` },
      },
      roles: {
        cull: {
          scopes: ['list:users', 'read:users:activity', 'read:servers', 'delete:servers'],
          services: ['culler'],
        },
        user: { scopes: ['self', 'access:services!service=whoami'] },
      },
    },
  })
  const hutch = await startHutch(t, { state: join(folder, 'state'), args })
  return { hutch, bin, folder, tokens, servicePort }
}

test.serial(
  'jupyterhub-singleuser of two releases: login by OAuth, a kernel, activity, the hub menu, logout',
  async (t) => {
    const made = await site(t)
    if (made === undefined) return
    const { hutch } = made
    const password = (await hutch.passwords())['ada'] ?? ''
    const ada = await logInAs(hutch.url, 'ada', password)
    const six = await ada.launch({ profile: 'six', flavour: 'small', title: 'Six' })
    const five = await ada.launch({ profile: 'five', flavour: 'small', title: 'Five' })
    const refused = await ada.launch({ profile: 'refused', flavour: 'small' })
    for (const [launched, version] of [
      [six, '6.1.1'],
      [five, '5.5.4'],
    ] as const) {
      await works(t, hutch, ada, launched, version)
    }
    const { body } = await ada.api<{ state: string; message: string }>('GET', `/environments/${refused.id}`)
    t.is(body.state, 'ended')
    t.regex(JSON.stringify(body), /not encrypted/)
    await seesOnlyOwn(t, hutch, six)
    await logsOut(t, hutch, ada, six)
    await inChromium(t, hutch, five)
    await culled(t, made)
    await knowsVisitors(t, made)
  },
)

async function works(
  t: ExecutionContext,
  hutch: RunningHutch,
  ada: Scientist,
  launched: Launched,
  version: string,
): Promise<void> {
  const page = await ada.enter(launched)
  t.is(page.status, 200, page.trail.join('\n'))
  const way = page.trail.map((url) => new URL(url).pathname)
  t.true(way.includes('/hub/api/oauth2/authorize'), way.join('\n'))
  t.true(way.includes(`/user/ada/${launched.id}/oauth_callback`))
  t.regex(page.text, /jupyter-config-data/)
  t.true(page.text.includes('"hubPrefix": "/hub/"'))
  const status = await ada.jar.ask(`${launched.url}api/status`)
  t.is(status.status, 200, status.text)
  t.is(page.headers.get('x-jupyterhub-version'), version)

  const kernel = await openKernel(ada, launched)
  t.regex(await kernel.run("import os; print('|'.join([os.environ['JUPYTERHUB_USER'], os.getcwd()]))"), /^ada\|/)
  const seen = await kernel.run(
    "import glob; print(any(os.environ['JUPYTERHUB_API_TOKEN'].encode() in open(f,'rb').read() for f in glob.glob('/proc/[0-9]*/cmdline')))",
  )
  t.regex(seen, /^False/, 'no argv holds the token')
  kernel.dispose()

  // What the server itself tells the hub, with its own token.
  const own = createApiClient(t, hutch.url, await tokenOf(ada, launched))
  const server = `/users/ada/servers/${launched.id}`
  t.is((await own.ask('GET', server)).status, 403, 'the server may not even read itself')
  t.is((await own.ask('POST', '/users/ada/activity', { last_activity: new Date().toISOString() })).status, 200)
  t.is((await own.ask('POST', '/batchspawner', { port: 99_999 })).status, 400)
  t.deepEqual(
    (await own.ask('GET', '/user')).body.scopes.filter((each: string) => each.startsWith('access:')),
    [`access:servers!server=ada/${launched.id}`],
  )
}

async function tokenOf(ada: Scientist, launched: Launched): Promise<string> {
  const kernel = await openKernel(ada, launched)
  const token = await kernel.run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")
  kernel.dispose()
  return token.trim()
}

/** Another person who is logged in gets neither through the proxy nor past the server's own check. */
async function seesOnlyOwn(t: ExecutionContext, hutch: RunningHutch, { url }: Launched): Promise<void> {
  const marie = await logInAs(hutch.url, 'marie', (await hutch.passwords())['marie'] ?? '')
  t.not((await marie.jar.open(url)).status, 200)
  const query = new URLSearchParams({
    client_id: `jupyterhub-user-ada-${new URL(url).pathname.split('/')[3]}`,
    redirect_uri: `${new URL(url).pathname}oauth_callback`,
    response_type: 'code',
    state: 'x',
  })
  const asked = await marie.jar.ask(`${hutch.url}/hub/api/oauth2/authorize?${query.toString()}`)
  t.is(asked.status, 403)
  query.set('redirect_uri', 'https://evil.example/oauth_callback')
  t.is((await marie.jar.ask(`${hutch.url}/hub/api/oauth2/authorize?${query.toString()}`)).status, 400)
}

async function logsOut(t: ExecutionContext, hutch: RunningHutch, ada: Scientist, six: Launched): Promise<void> {
  t.is((await ada.jar.ask(`${six.url}api/status`)).status, 200)
  const left = await ada.jar.open(`${six.url}logout`)
  t.is(new URL(left.url).pathname, '/hub/logout')
  t.is(left.status, 200)
  t.regex(left.text, /<form method="post" action="\/hub\/logout">/)
  await ada.jar.open(`${hutch.url}/hub/logout`, { method: 'POST' })
  const after = await ada.jar.ask(`${six.url}api/status`)
  t.not(after.status, 200, 'what the login opened is closed')
}

async function inChromium(t: ExecutionContext, hutch: RunningHutch, five: Launched): Promise<void> {
  const chromium = await browser(t)
  if (chromium === undefined) return
  const person = await personAt(chromium, hutch, 'ada')
  const page = await person.open(five.id)
  await page.waitForURL(/\/lab/, { timeout: 120_000 })
  await page.getByRole('menuitem', { name: 'File' }).click({ timeout: 120_000 })
  await page.getByText('Hub Control Panel').first().waitFor({ timeout: 30_000 })
  const [control] = await Promise.all([
    page.context().waitForEvent('page', { timeout: 30_000 }),
    page.getByText('Hub Control Panel').first().click(),
  ])
  await control.waitForURL(/\/hub\/home/, { timeout: 30_000 })
  await control.goto(`${hutch.url}/hub/token`)
  await control.getByLabel('What it is for').fill('A script')
  await control.getByRole('button', { name: 'Make it' }).click()
  const token = await control.getByLabel('The new token').inputValue()
  t.regex(token, /^hutch_/)
  const api = createApiClient(t, hutch.url, token)
  t.is((await api.ask('GET', '/users/ada')).status, 200)
  t.is((await api.ask('DELETE', `/users/ada/servers/${five.id}`)).status, 403, 'it may see, not stop')
  await control.goto(`${hutch.url}/hub/token`)
  t.is(await control.getByLabel('The new token').count(), 0, 'shown once')
  await control.getByRole('button', { name: 'Revoke' }).click()
  await control.getByText('There are none.').waitFor()
  t.is((await api.ask('GET', '/user')).status, 403)
}

async function culled(t: ExecutionContext, { hutch, bin, tokens }: Site): Promise<void> {
  const api: ApiClient = createApiClient(t, hutch.url, tokens.culler)
  const running = async (): Promise<string[]> => {
    const { body } = await api.ask('GET', '/users/ada')
    return Object.keys(body.servers as object)
  }
  t.is((await running()).length, 2)
  const child = spawn(
    join(bin, 'python'),
    ['-m', 'jupyterhub_idle_culler', '--timeout=1', '--cull-every=1', '--api-page-size=1'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        JUPYTERHUB_API_URL: `${hutch.url}/hub/api`,
        JUPYTERHUB_API_TOKEN: tokens.culler,
      },
    },
  )
  const printed = collected(child)
  try {
    await until('the culler stops both', async () => (await running()).length === 0, patience)
    t.regex(printed(), /Culling server ada/)
  } finally {
    child.kill('SIGTERM')
    await once(child, 'close')
  }
}

/** A service that was written for JupyterHub, behind our proxy at /services/whoami/. */
async function knowsVisitors(t: ExecutionContext, { hutch, bin, folder, tokens, servicePort }: Site): Promise<void> {
  const file = join(folder, 'whoami.py')
  await writeFile(file, whoami)
  const child = spawn(join(bin, 'python'), [file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      PORT: String(servicePort),
      JUPYTERHUB_API_URL: `${hutch.url}/hub/api`,
      JUPYTERHUB_API_TOKEN: tokens.whoami,
      JUPYTERHUB_CLIENT_ID: 'service-whoami',
      JUPYTERHUB_SERVICE_NAME: 'whoami',
      JUPYTERHUB_SERVICE_PREFIX: '/services/whoami/',
      JUPYTERHUB_BASE_URL: '/',
      JUPYTERHUB_OAUTH_SCOPES: '["access:services!service=whoami"]',
    },
  })
  const printed = collected(child)
  try {
    const rosalind = await logInAs(hutch.url, 'rosalind', (await hutch.passwords())['rosalind'] ?? '')
    const page = await until(
      'the service answers',
      async () => {
        const opened = await rosalind.jar.open(`${hutch.url}/services/whoami/`)
        return opened.status === 200 && opened
      },
      { timeoutMs: 60_000, everyMs: 300 },
    ).catch((error: unknown) => {
      t.log(printed())
      throw error
    })
    t.like(JSON.parse(page.text), { name: 'rosalind', kind: 'user', admin: false })
    t.false(printed().includes('hutch-login'))
    // With a token instead of a browser.
    const { body } = await createApiClient(t, hutch.url, undefined).ask('GET', '/')
    t.truthy(body.version)
    const wrong = await fetch(`${hutch.url}/services/whoami/`, {
      headers: { authorization: 'token hutch_wrong' },
      redirect: 'manual',
    })
    t.not(wrong.status, 200)
  } finally {
    child.kill('SIGTERM')
    await once(child, 'close')
  }
  t.truthy(await readFile(file, 'utf8'))
}

const whoami = `
import json, os
from tornado import ioloop, web
from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated

class WhoAmI(HubOAuthenticated, web.RequestHandler):
    @web.authenticated
    def get(self):
        print("cookies", sorted(self.request.cookies), flush=True)
        self.write(json.dumps(self.get_current_user()))

prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
app = web.Application([(prefix + "oauth_callback", HubOAuthCallbackHandler), (prefix, WhoAmI)], cookie_secret=os.urandom(32))
app.listen(int(os.environ["PORT"]), "127.0.0.1")
ioloop.IOLoop.current().start()
`

function collected(child: ChildProcess): () => string {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (output += data.toString()))
  return () => output
}
