/** A real Kerberos server (MIT krb5kdc) of a test's own: a private folder, a port of loopback, no service of the system. */
import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'
import { freePort } from './hutch.ts'
import { startServer } from './serverProcess.ts'
import { temporaryFolder } from './temporary.ts'

const run = promisify(execFile)

export const realm = 'HUTCH.TEST'

export interface Kdc {
  /** As /etc/krb5.conf. */
  readonly configuration: string
  /** The folder with NAME.keytab of each principal. */
  readonly keytabs: string
  /** No ticket is given until start(). */
  stop(): Promise<void>
  start(): Promise<void>
}

/** `reader`: the uid that may read keytabs; absent: ours. Undefined: it is not installed, and the test has said so. */
export async function startKdc(
  t: ExecutionContext,
  names: readonly string[],
  reader?: number,
): Promise<Kdc | undefined> {
  const [krb5kdc, util, kadmin] = [program('krb5kdc'), program('kdb5_util'), program('kadmin.local')]
  const found = krb5kdc !== undefined && util !== undefined && kadmin !== undefined && program('kinit') !== undefined
  const remedy = 'apt-get install krb5-kdc krb5-admin-server krb5-user'
  if (!available(t, 'krb5kdc', found, remedy) || !found) return undefined
  const folder = await temporaryFolder(t)
  const [configuration, keytabs] = [join(folder, 'krb5.conf'), join(folder, 'keytabs')]
  await mkdir(keytabs, { mode: 0o700 })
  const port = await freePort()
  await writeFile(configuration, clientSettings(port), { mode: 0o644 })
  await writeFile(join(folder, 'kdc.conf'), serverSettings(folder, port))
  const env = {
    PATH: process.env['PATH'],
    KRB5_CONFIG: configuration,
    KRB5_KDC_PROFILE: join(folder, 'kdc.conf'),
    LC_ALL: 'C',
  }
  await run(util ?? '', ['create', '-s', '-r', realm, '-P', 'of this test alone'], { env })
  for (const name of names) {
    await run(kadmin ?? '', ['-r', realm, 'addprinc', '-randkey', name], { env })
    await run(kadmin ?? '', ['-r', realm, 'ktadd', '-k', join(keytabs, `${name}.keytab`), name], { env })
  }
  if (reader !== undefined) {
    await chmod(folder, 0o755)
    for (const file of ['', ...names.map((name) => `${name}.keytab`)]) await chown(join(keytabs, file), reader, reader)
  }
  const { start, stop } = await startServer(t, {
    title: 'the KDC',
    argv: [krb5kdc ?? '', '-n', '-r', realm],
    port,
    env,
  })
  return { configuration, keytabs, start, stop }
}

function clientSettings(port: number): string {
  return `[libdefaults]
 default_realm = ${realm}
 dns_lookup_realm = false
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 udp_preference_limit = 1
[realms]
 ${realm} = {
  kdc = 127.0.0.1:${port}
 }
`
}

function serverSettings(folder: string, port: number): string {
  return `[realms]
 ${realm} = {
  database_name = ${folder}/principal
  key_stash_file = ${folder}/stash
  acl_file = ${folder}/acl
  kdc_listen = 127.0.0.1:${port}
  kdc_tcp_listen = 127.0.0.1:${port}
  max_life = 1d
 }
[logging]
 kdc = FILE:${folder}/kdc.log
`
}
