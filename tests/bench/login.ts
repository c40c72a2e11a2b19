/**
 * Full logins: from the hub's login page to a page for somebody who is logged in. Hutch with a whole code flow (PKCE,
 * signatures, UserInfo) at a certified provider in the client's process; JupyterHub with its dummy authenticator's form.
 */
import { readFile, writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { createJar } from '../support/browser-jar.ts'
import { freePort, runHutch } from '../support/hutch.ts'
import { type Owner, startProvider, type TestPerson } from '../support/oidc.ts'
import { cpuMs, median, quantile, row } from './figures.ts'
import { stormJupyterHub } from './storm-jupyterhub.ts'

const logins = 600
const warmUp = 60
const together = 8
const people = 60

export async function benchLogin(folder: string): Promise<void> {
  await benchHutch(folder)
  await benchJupyterHub(folder)
}

async function benchHutch(folder: string): Promise<void> {
  const closing: (() => unknown)[] = []
  const owner: Owner = {
    teardown(work) {
      closing.push(work)
    },
  }
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const provider = await startProvider(owner, { hub: url, name: 'site', personOf: personAt })
  const file = join(folder, 'login.json')
  const secretFile = join(folder, 'client-secret')
  await writeFile(secretFile, provider.clientSecret, { mode: 0o600 })
  await writeFile(file, JSON.stringify(configuration(provider.issuer, provider.clientId, secretFile)))
  const state = join(folder, 'login')
  // As the account that made the files.
  const hutch = await runHutch({ state, port, args: ['--config', file], asRoot: true })
  try {
    const hub = Number(await readFile(join(state, 'run', 'hub.pid'), 'utf8'))
    await measured('hutch, code flow', hub, async (number) => {
      // Each from an address of its own, as behind a facility's proxy: limits by address are not what is measured.
      const from = `198.51.${Math.floor(number / 200) % 200}.${1 + (number % 200)}`
      const headers = { 'x-forwarded-for': from, 'x-bench-person': String(number % people) }
      const page = await createJar([], headers).open(`${url}/hub/login/site?next=/hub/sessions`)
      if (page.status !== 200 || !page.url.endsWith('/hub/sessions')) throw new Error(`${page.status} at ${page.url}`)
    })
  } finally {
    await hutch.stop()
    for (const work of closing.toReversed()) await work()
  }
}

function personAt(headers: IncomingHttpHeaders): TestPerson {
  const name = `p${[headers['x-bench-person']].flat()[0] ?? '0'}`
  return { sub: name, preferred_username: name }
}

async function benchJupyterHub(folder: string): Promise<void> {
  const subject = await stormJupyterHub(folder, people)
  if (subject === undefined) return row('full logins: jupyterhub', { skipped: 'it is not installed here' })
  try {
    const { hub } = await subject.pids()
    const base = subject.url
    await measured('jupyterhub, form', hub, async (number) => {
      const browser = createJar()
      const form = await browser.open(`${base}/login`)
      const xsrf = /name="_xsrf" value="([^"]+)"/.exec(form.text)?.[1] ?? ''
      const page = await browser.open(`${base}/login?next=%2Fhub%2Ftoken`, {
        method: 'POST',
        form: { _xsrf: xsrf, username: `l${number % people}`, password: 'x' },
      })
      if (page.status !== 200 || !page.url.endsWith('/token')) throw new Error(`${page.status} at ${page.url}`)
    })
  } finally {
    await subject.close()
  }
}

async function measured(title: string, hub: number, login: (number: number) => Promise<void>): Promise<void> {
  let next = 0
  const times: number[] = []
  const run = async (until: number): Promise<void> => {
    while (next < until) {
      const number = next++
      const from = performance.now()
      await login(number)
      times.push(performance.now() - from)
    }
  }
  const all = (until: number) => Promise.all(Array.from({ length: together }, () => run(until)))
  await all(warmUp)
  times.length = 0
  const [from, cpuFrom] = [performance.now(), await cpuMs(hub)]
  await all(warmUp + logins)
  const seconds = (performance.now() - from) / 1000
  row(`full logins, ${together} at once: ${title}`, {
    'each second': logins / seconds,
    'p50 ms': median(times),
    'p99 ms': quantile(times, 0.99),
    'hub CPU ms for each': ((await cpuMs(hub)) - cpuFrom) / logins,
  })
}

function configuration(issuer: string, clientId: string, clientSecretFile: string): object {
  return {
    login: { providers: { site: { title: 'Site', issuer, clientId, clientSecretFile } } },
    proxy: { trustedProxies: ['127.0.0.1'] },
    log: { level: 'warn' },
    flavours: {},
    profiles: {},
    spawners: {},
  }
}
