/** A real OpenLDAP server of a test's own: a private folder, ports on loopback, no service of the system. */
import { execFile } from 'node:child_process'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { Client } from 'ldapts'
import { authority } from './certificate.ts'
import { available, program } from './component.ts'
import { freePort } from './hutch.ts'
import { startServer } from './serverProcess.ts'
import { temporaryFolder } from './temporary.ts'

const run = promisify(execFile)

export const base = 'dc=example,dc=org'
export const people = `ou=people,${base}`
export const groups = `ou=groups,${base}`
export const hubDn = `cn=hutch,${base}`
/** Gets no more than five entries for a question. */
export const smallDn = `cn=small,${base}`
const password = 'correct horse, battery'

export interface Directory {
  readonly ldap: string
  readonly ldaps: string
  readonly caFile: string
  /** Of hubDn and smallDn. */
  readonly passwordFile: string
  /** Every answer is held back until resume(). */
  pause(): void
  resume(): void
  stop(): Promise<void>
  start(): Promise<void>
  /** As the directory's administrator. */
  change(work: (client: Client) => Promise<void>): Promise<void>
}

/** Undefined: it is not installed, and the test has said so. It refuses to talk without TLS. */
export async function startDirectory(t: ExecutionContext, entries: string): Promise<Directory | undefined> {
  const [slapd, slapadd] = [program('slapd'), program('slapadd')]
  const found = slapd !== undefined && slapadd !== undefined
  if (!available(t, 'slapd', found, 'apt-get install slapd') || !found) return undefined
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'data'), { mode: 0o700 })
  const { ca, sign } = await authority(folder)
  const { cert, key } = await sign('slapd')
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, `${password}\n`)
  await chmod(passwordFile, 0o600)
  const configuration = join(folder, 'slapd.conf')
  await writeFile(configuration, settings(folder, cert, key))
  await writeFile(join(folder, 'entries.ldif'), ground + entries)
  await run(slapadd, ['-f', configuration, '-l', join(folder, 'entries.ldif')])
  const [plain, secure] = [await freePort(), await freePort()]
  const [ldap, ldaps] = [`ldap://127.0.0.1:${plain}`, `ldaps://127.0.0.1:${secure}`]
  const argv = [slapd ?? '', '-d', '0', '-f', configuration, '-h', `${ldap} ${ldaps}`]
  const { start, stop, signal } = await startServer(t, { title: 'slapd', argv, port: secure })
  return {
    ldap,
    ldaps,
    caFile: ca,
    passwordFile,
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    start,
    stop,
    async change(work) {
      const client = new Client({ url: ldaps, tlsOptions: { rejectUnauthorized: false } })
      try {
        await client.bind(`cn=admin,${base}`, password)
        await work(client)
      } finally {
        await client.unbind()
      }
    },
  }
}

/** The schema that Debian ships has no groups of RFC 2307bis: numberedGroup is what posixGroup is there. */
function settings(folder: string, cert: string, key: string): string {
  return `${['core', 'cosine', 'nis', 'inetorgperson'].map((name) => `include /etc/ldap/schema/${name}.schema`).join('\n')}
objectclass ( 1.3.6.1.4.1.4203.666.3.1 NAME 'numberedGroup' SUP top AUXILIARY MUST gidNumber )
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile ${cert}
TLSCertificateKeyFile ${key}
security tls=1
database mdb
maxsize 33554432
directory ${join(folder, 'data')}
suffix "${base}"
rootdn "cn=admin,${base}"
rootpw "${password}"
limits dn.exact="${smallDn}" size=5
access to attrs=userPassword by anonymous auth
access to * by dn.exact="${hubDn}" read by dn.exact="${smallDn}" read by * none
`
}

const account = (dn: string): string => `dn: ${dn}
objectClass: organizationalRole
objectClass: simpleSecurityObject
userPassword: ${password}

`

const ground = `dn: ${base}
objectClass: dcObject
objectClass: organization
o: example

dn: ${people}
objectClass: organizationalUnit

dn: ${groups}
objectClass: organizationalUnit

${account(hubDn)}${account(smallDn)}`
