/** A real Keycloak, built once outside the checkout, started with realms of a test's own. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'
import { freePort } from './hutch.ts'
import { until } from './until.ts'

const run = promisify(execFile)
const version = '26.7.3'
const copyGoal = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy'
const build = ['build', '--db=dev-mem', '--health-enabled=false', '--metrics-enabled=false']

export interface Keycloak {
  readonly url: string
  /** By the realm's name. */
  issuer(realm: string): string
  output(): string
  /** Resolves when the realms answer. */
  readonly ready: Promise<void>
}

/** Begins to start; a test does other things meanwhile. Undefined: skipped, and said so. Stopped with the test. */
export async function startKeycloak(
  t: ExecutionContext,
  realms: (url: string) => readonly Readonly<{ realm: string }>[],
): Promise<Keycloak | undefined> {
  const installed = await installation(t)
  if (installed === undefined) return undefined
  const home = await mkdtemp(join(tmpdir(), 'hutch-kc-'))
  t.teardown(() => rm(home, { recursive: true, force: true, maxRetries: 5 }))
  // What it writes goes below its home: so that is another one each time, with the same libraries.
  for (const part of ['bin', 'conf']) await cp(join(installed, part), join(home, part), { recursive: true })
  for (const part of ['lib', 'providers', 'themes']) await symlink(join(installed, part), join(home, part))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const made = realms(url)
  await mkdir(join(home, 'data/import'), { recursive: true })
  for (const realm of made) {
    await writeFile(join(home, 'data/import', `${realm.realm}-realm.json`), JSON.stringify(realm))
  }
  const listen = ['--http-enabled=true', '--http-host=127.0.0.1', `--http-port=${port}`, `--hostname=${url}`]
  const child = spawn(join(home, 'bin/kc.sh'), ['start', '--optimized', '--import-realm', ...listen, '--cache=local'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, JAVA_OPTS_KC_HEAP: '-Xms64m -Xmx512m' },
    // The script has Java as its child: both are ended together.
    detached: true,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()))
  const ended = once(child, 'close')
  t.teardown(async () => {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    await ended
    if (!t.passed) t.log(output.slice(-5_000))
  })
  const issuer = (realm: string): string => `${url}/realms/${realm}`
  const answers = async (realm: string): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`Keycloak ended with ${child.exitCode}:\n${output.slice(-5_000)}`)
    const asked = fetch(`${issuer(realm)}/.well-known/openid-configuration`, { signal: AbortSignal.timeout(5_000) })
    return await asked.then(
      ({ ok }) => ok,
      () => false,
    )
  }
  const waited = { timeoutMs: 300_000, everyMs: 250 }
  const ready = Promise.all(
    made.map(({ realm }) => until(`the realm ${realm} answers`, () => answers(realm), waited)),
  ).then(() => undefined)
  // Whoever waits for it hears of it.
  ready.catch(() => undefined)
  return { url, issuer, output: () => output, ready }
}

/** The folder of the built distribution. */
async function installation(t: ExecutionContext): Promise<string | undefined> {
  if (!available(t, 'Java', program('java'), 'apt-get install openjdk-17-jre-headless')) return undefined
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'hutch-tests')
  const folder = join(cache, `keycloak-${version}`)
  const isThere = await access(folder).then(
    () => true,
    () => false,
  )
  if (isThere) return folder
  const tools = program('mvn') && program('unzip')
  if (!available(t, 'Maven', tools, 'apt-get install maven unzip')) return undefined
  t.timeout(900_000, 'Keycloak is fetched and built, once for all tests')
  await mkdir(cache, { recursive: true })
  const draft = await mkdtemp(join(cache, 'keycloak-draft-'))
  try {
    // From wherever this machine's Maven is told to fetch.
    await run(
      'mvn',
      [
        '--batch-mode',
        '--quiet',
        copyGoal,
        `-Dmaven.repo.local=${join(draft, 'repository')}`,
        `-Dartifact=org.keycloak:keycloak-quarkus-dist:${version}:zip`,
        `-DoutputDirectory=${draft}`,
      ],
      { cwd: draft, timeout: 600_000 },
    )
    await run('unzip', ['-q', `keycloak-quarkus-dist-${version}.zip`], { cwd: draft, timeout: 120_000 })
    const unpacked = join(draft, `keycloak-${version}`)
    await run(join(unpacked, 'bin/kc.sh'), build, { cwd: unpacked, timeout: 300_000, maxBuffer: 2 ** 24 })
    await rename(unpacked, folder).catch((error: NodeJS.ErrnoException) => {
      // Another test process was faster.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
    return folder
  } catch (error) {
    available(t, 'Keycloak', undefined, `it could not be fetched or built: ${String(error).slice(0, 300)}`)
    return undefined
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}
