/** Hutch as a site has it: installed from its own tarball by npm, with plug-ins installed from theirs. */
import { execFile } from 'node:child_process'
import { randomBytes, scryptSync } from 'node:crypto'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { ordinaryUid, runAsUser } from '../support/asUser.ts'
import { createJar } from '../support/browser-jar.ts'
import { freePort, startHutch } from '../support/hutch.ts'
import { type Kdc, realm, startKdc } from '../support/kdc.ts'
import { startProvider } from '../support/oidc.ts'
import { scientistWith } from '../support/scientist.ts'
import { openShell, typeInto } from '../support/shell.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const project = new URL('../..', import.meta.url).pathname
const run = promisify(execFile)
const uid = process.getuid?.() === 0 ? ordinaryUid : (process.getuid?.() ?? ordinaryUid)
const password = 'difference engine'

const plugins = ['accounts-json', 'credentials-keytab', 'login-file', 'matching-file', 'notifier-webhook']

/** `npm install` of the tarballs, with what they need, in an empty folder. */
async function install(t: ExecutionContext): Promise<{ folder: string; site: string; modules: string }> {
  const folder = await temporaryFolder(t)
  const site = join(folder, 'site')
  await mkdir(site)
  const source = join(folder, 'source')
  await run(process.execPath, [join(project, 'hub/setup/make-package.ts'), source], { timeout: 120_000 })
  const sources = [source, ...plugins.map((name) => join(project, 'config/plugins', name))]
  const { stdout } = await run('npm', ['pack', ...sources, '--silent'], { cwd: folder, timeout: 120_000 })
  const tarballs = stdout.trim().split('\n')
  t.is(tarballs.length, sources.length)
  const options = ['--omit=dev', '--no-audit', '--no-fund', '--prefer-offline']
  const npm = ['install', ...options, ...tarballs.map((name) => join(folder, name))]
  await run('npm', npm, { cwd: site, timeout: 300_000 })
  return { folder, site, modules: join(site, 'node_modules') }
}

const exported = 'nas.example.org:/export'

/** Where the export would be mounted there is a folder: what is shown is that tickets are there, and renewed. */
function kerberized({ keytabs, configuration }: Kdc): object {
  const options = { keytabs, configuration, realm, lifetime: '12s' }
  const shared = { source: `${exported}/home`, target: '/data/shared', allowedRoots: [exported], for: 'user' }
  return {
    credentials: { plugin: { package: 'hutch-credentials-keytab', options } },
    mounts: [{ ...shared, name: 'shared data', security: 'krb5' }],
  }
}

interface Message {
  readonly to: string
  readonly subject: string
}

async function webhook(t: ExecutionContext): Promise<{ url: string; messages: Message[] }> {
  const messages: Message[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (data: string) => (text += data))
    request.on('end', () => {
      messages.push(JSON.parse(text) as Message)
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, messages }
}

test('installed from its tarball, with plug-ins from theirs, it checks, starts, lets in, launches and tells', async (t) => {
  t.timeout(500_000)
  const { folder, site, modules } = await install(t)
  const { url, messages } = await webhook(t)
  const home = join(site, 'home')
  await mkdir(home)
  const account = { uid, gid: uid, home, shell: '/bin/sh' }
  await writeFile(join(site, 'accounts.json'), JSON.stringify({ ada: account }))
  const salt = randomBytes(16)
  const person = { salt: salt.toString('hex'), scrypt: scryptSync(password, salt, 32).toString('hex'), title: 'Ada' }
  await writeFile(join(site, 'people.json'), JSON.stringify({ ada: person }), { mode: 0o600 })
  const port = await freePort()
  const umbrella = await startProvider(t, { hub: `http://127.0.0.1:${port}`, name: 'umbrella' })
  umbrella.person = { sub: 'v-1', name: 'A. Lovelace' }
  const { issuer, clientId } = umbrella
  const clientSecretFile = join(site, 'client-secret')
  await writeFile(clientSecretFile, umbrella.clientSecret, { mode: 0o600 })
  await writeFile(join(site, 'office.json'), JSON.stringify([{ issuer, subject: 'v-1', account: 'ada' }]))
  const login = { package: 'hutch-login-file', options: { path: join(site, 'people.json') } }
  const kdc = await startKdc(t, ['ada'], uid)
  const configuration = {
    ...(kdc === undefined ? {} : kerberized(kdc)),
    login: {
      passwords: { site: { type: 'plugin', title: 'Facility account', plugin: login } },
      providers: { umbrella: { title: 'UmbrellaID', issuer, clientId, clientSecretFile, proves: 'identity' } },
      matching: { plugin: { package: 'hutch-matching-file', options: { path: join(site, 'office.json') } } },
    },
    accounts: {
      source: 'plugin',
      plugin: { package: 'hutch-accounts-json', options: { path: join(site, 'accounts.json') } },
    },
    notify: { plugin: { package: 'hutch-notifier-webhook', options: { url } }, administrators: ['ops@example.org'] },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: { here: { type: 'local', allowUnsandboxed: true, allowUnlimited: true, nfs: { [exported]: site } } },
    profiles: { terminal: { title: 'Terminal', kind: 'terminal', flavours: ['small'], on: { here: {} } } },
  }
  const file = join(site, 'hutch.json')
  await writeFile(file, JSON.stringify(configuration))
  await writeFile(join(site, 'wrong.json'), JSON.stringify({ ...configuration, notify: { plugin: login } }))
  for (const each of [folder, site]) await chmod(each, 0o755)

  const bin = join(modules, 'hutch/bin/hutch.js')
  const as = async (...argv: string[]): Promise<string> => await runAsUser(site, [process.execPath, ...argv])
  t.regex(await as(bin, 'check', file), /can be used/)
  const refused = await t.throwsAsync(as(bin, 'check', join(site, 'wrong.json')))
  t.regex(refused.message, /notify\.plugin\.package: it is a plug-in for authenticator, and one for notifier is needed/)
  t.regex(await as(join(modules, 'hutch/bin/hutch-proxy.js'), '--help'), /hutch-proxy --config FILE/)
  const suites = "import('hutch/contracts').then((found) => console.log(Object.keys(found).join()))"
  t.regex(
    await as('--input-type=module', '--eval', suites),
    /accountContract,authenticatorContract,.*matchingContract,.*spawnerContract/,
  )

  const hutch = await startHutch(t, { state: join(folder, 'state'), args: ['--config', file], bin, port })
  const jar = createJar()
  const form = { name: 'ada', password, next: '/hub/home' }
  const wrong = await jar.ask(`${hutch.url}/hub/login/site`, { method: 'POST', form: { ...form, password: 'x' } })
  t.is(wrong.status, 403)
  const entered = await jar.open(`${hutch.url}/hub/login/site`, { method: 'POST', form })
  t.regex(entered.text, /My environments/)
  const ada = scientistWith(jar, hutch.url, 'ada')
  const lab = await ada.launch({ profile: 'terminal', flavour: 'small' })
  await ada.enter(lab)
  const shell = await openShell(ada, lab)
  await typeInto(shell, 'echo "$(id -u)=$HOME"', new RegExp(`^${uid}=${home}`, 'm'))
  if (kdc !== undefined) {
    await typeInto(shell, 'klist', new RegExp(`Default principal: ada@${realm}`))
    // Asked for twelve seconds, so that the next ones are there after six.
    const tickets = '"$(klist | grep krbtgt)"'
    const wait = `first=${tickets}; while [ ${tickets} = "$first" ]; do sleep 0.5; done; echo new"er"`
    await typeInto(shell, wait, /^newer/m)
    t.regex(hutch.output(), /Kerberos tickets were supplied/)
  }
  shell.socket.terminate()

  const other = createJar()
  const known = await other.open(`${hutch.url}/hub/login/umbrella`)
  t.regex(known.text, /My environments/)
  t.true(known.text.includes(lab.id), 'whom the user office knows has the same environments, and was asked nothing')
  umbrella.person = { sub: 'v-2', name: 'Ada Lovelace', preferred_username: 'ada' }
  const stranger = await createJar().open(`${hutch.url}/hub/login/umbrella`)
  t.is(new URL(stranger.url).pathname, '/hub/link')

  const until2027 = '2027-01-31'
  const asked = await ada.api('POST', '/usage/requests', {
    limit: 'environments',
    most: '20',
    until: until2027,
    reason: 'A school with twenty notebooks',
  })
  t.true(asked.status < 300, JSON.stringify(asked))
  await until('the webhook is told', () => messages.length > 0, { timeoutMs: 60_000 })
  t.is(messages[0]?.to, 'ops@example.org')
  t.regex(messages[0]?.subject ?? '', /^ada asks for/)
  t.is(await hutch.stop(), 0)
})
