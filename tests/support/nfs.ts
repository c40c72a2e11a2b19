/**
 * A real NFS server (nfs-ganesha) and a real kernel client: Linux in user mode, for whose kernel alone NFS is mounted. Both
 * are in a network and a process namespace of their own, and end with the test.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { ExecutionContext } from 'ava'
import type { Account, Mount } from '../../spawners/spawner.ts'
import { available, program } from './component.ts'
import { temporaryFolder } from './temporary.ts'

export interface NfsClient {
  /** On the server, as its own machine sees it; exported as `server`:/export. */
  readonly folder: string
  readonly server: string
  /** Boots, mounts, runs each and halts: what each printed, by its name. */
  run(mounts: readonly Mount[], steps: readonly Step[]): Promise<ReadonlyMap<string, Printed>>
}

/** `gids`: all that it carries besides its own; absent: root, who carries none. */
export interface Step {
  readonly name: string
  readonly as?: Readonly<Pick<Account, 'uid' | 'gid'> & { gids: readonly number[] }>
  readonly argv: readonly string[]
}

interface Printed {
  readonly status: number
  readonly output: string
}

const [server, client] = ['10.99.0.1', '10.99.0.2']
const deadlineMs = 180_000
const modules = '/usr/lib/uml/modules'

/** Undefined: something that it needs is missing, and the test has said so. */
export async function nfsClient(t: ExecutionContext): Promise<NfsClient | undefined> {
  const there =
    process.getuid?.() === 0 &&
    existsSync('/dev/net/tun') &&
    existsSync(modules) &&
    ['ganesha.nfsd', 'linux.uml', 'mount.nfs4', 'modprobe'].every((name) => program(name) !== undefined)
  const remedy = 'as root: apt-get install nfs-ganesha nfs-ganesha-vfs user-mode-linux nfs-common kmod'
  if (!available(t, 'NFS with a kernel client', there, remedy)) return undefined
  const work = await temporaryFolder(t)
  const folder = join(work, 'export')
  await mkdir(join(work, 'recovery'))
  await mkdir(folder)
  await chmod(folder, 0o755)
  await writeFile(join(work, 'ganesha.conf'), configuration(work, folder))
  await writeFile(join(work, 'outside.sh'), outside(work))
  return {
    folder,
    server,
    async run(mounts, steps) {
      await writeFile(join(work, 'inside.sh'), inside(mounts, steps), { mode: 0o755 })
      const printed = await boot(work)
      return new Map(
        steps.map(({ name }, index) => {
          const [, output = '', status] =
            new RegExp(`<<${index}\\r?\\n([\\s\\S]*?)>>${index} (\\d+)`).exec(printed) ?? []
          if (status === undefined) throw new Error(`${name} was not run:\n${printed.slice(-4_000)}`)
          return [name, { output: output.replaceAll('\r', ''), status: Number(status) }]
        }),
      )
    },
  }
}

async function boot(work: string): Promise<string> {
  const namespaces = ['--net', '--pid', '--mount-proc', '--fork', '--kill-child']
  const child = spawn('unshare', [...namespaces, 'sh', join(work, 'outside.sh')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.timeout(deadlineMs),
    killSignal: 'SIGKILL',
  })
  child.on('error', () => {}) // it was killed: what it printed tells how far it came
  const [output, faults] = await Promise.all([text(child.stdout), text(child.stderr)])
  return output + faults
}

function configuration(work: string, folder: string): string {
  return `
NFS_CORE_PARAM { Protocols = 4; NFS_Port = 2049; Bind_addr = ${server}; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSv4 { Graceless = true; Minor_Versions = 1; RecoveryBackend = fs; RecoveryRoot = "${work}/recovery"; Only_Numeric_Owners = true; }
EXPORT { Export_Id = 1; Path = "${folder}"; Pseudo = "/export"; Access_Type = RW; Squash = Root_Squash; Anonymous_Uid = 65534; Anonymous_Gid = 65534; SecType = sys; FSAL { Name = VFS; } }
LOG { Default_Log_Level = EVENT; }
`
}

/** The memory of the kernel in user mode is a file that is gone already; its sockets are in the test's folder. */
function outside(work: string): string {
  return `
ip link set lo up
ip tuntap add dev tap0 mode tap
ip addr add ${server}/24 dev tap0
ip link set tap0 up
ganesha.nfsd -F -f ${work}/ganesha.conf -L ${work}/ganesha.log -p ${work}/ganesha.pid -N EVENT &
for _ in $(seq 100); do ss -ltn | grep -q ':2049 ' && break; sleep 0.1; done
exec linux.uml rootfstype=hostfs rootflags=/ ro mem=384M init=${work}/inside.sh uml_dir=${work}/uml umid=nfs \\
  eth0=tuntap,tap0 con=null con0=null,fd:1 quiet </dev/null
`
}

/** Everything that is printed between <<N and >>N is the step's. */
function inside(mounts: readonly Mount[], steps: readonly Step[]): string {
  const mounted = mounts.flatMap(({ source, target, readOnly }) =>
    source.kind === 'nfs'
      ? [
          `mkdir -p ${quote(target)}`,
          `mount -t nfs4 -o vers=4.1,sec=sys,proto=tcp,soft,timeo=100,${readOnly ? 'ro' : 'rw'} ${quote(`${source.server}:${source.path}`)} ${quote(target)}`,
        ]
      : [],
  )
  const run = steps.map(({ as, argv }, index) => {
    const groups = as && (as.gids.length === 0 ? ['--clear-groups'] : ['--groups', as.gids.join()])
    const change = as && ['setpriv', '--reuid', String(as.uid), '--regid', String(as.gid), ...(groups ?? [])]
    const command = [...(change ?? []), ...argv].map(quote).join(' ')
    return `echo '<<${index}'; ${command} 2>&1; echo ">>${index} $?"`
  })
  return `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LC_ALL=C
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
ip link set lo up
ip addr add ${client}/24 dev eth0
ip link set eth0 up
mkdir -p /run/m/lib
ln -s ${modules} /run/m/lib/modules
modprobe -d /run/m nfsv4
${mounted.join('\n')}
${run.join('\n')}
umount -a -t nfs4
exec halt -f
`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
