/** A real SLURM cluster with what this hub needs of it: the minter, an agent's folder, a folder for output. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { people, startSlurm, type Name, type SlurmCluster } from '../clusters/slurm/cluster.ts'
import { configSchema, type SlurmConfig, type SlurmProfile } from '../../spawners/slurm/config.ts'
import { createSlurm } from '../../spawners/slurm/create.ts'
import { restCluster } from '../../spawners/slurm/index.ts'
import { profileSchema } from '../../spawners/slurm/config.ts'
import { createTokens, type Tokens } from '../../spawners/slurm/tokens.ts'
import type { Account, EnvironmentId, EnvironmentSpec, Log, Spawner } from '../../spawners/spawner.ts'
import type { ContractBehaviour, ContractSubject } from '../../spawners/contract.ts'
import { contractSpec, silentLog, spawnerContext } from './spawnerSubject.ts'
import { until } from './until.ts'

export interface SlurmSite {
  readonly cluster: SlurmCluster
  /** The minter's socket, and what it wrote of tokens that were asked for. */
  readonly tokens: string
  readonly auditFile: string
  readonly stateFolder: string
  /** With a fake agent in it: it does what HUTCH_TEST says. */
  readonly agentFolder: string
  readonly outputFolder: string
  account(name: Name): Account
  config(part?: object): SlurmConfig
  open(hub?: string, part?: object, own?: Own): Promise<Spawner<SlurmProfile>>
  close(): Promise<void>
}

/** What a test puts in the place of the real ones. */
interface Own {
  readonly log?: Log
  readonly now?: () => Date
  readonly tokens?: Tokens
}

const project = new URL('../..', import.meta.url).pathname

export async function startSlurmSite(options: { minJobAgeSeconds?: number } = {}): Promise<SlurmSite> {
  const cluster = await startSlurm(options)
  const { folder, view } = cluster
  const [agentFolder, outputFolder] = [join(folder, 'agent'), join(folder, 'output')]
  const stateFolder = join(folder, 'state')
  for (const [path, mode] of [
    [agentFolder, 0o755],
    [outputFolder, 0o1777],
    [stateFolder, 0o700],
  ] as const) {
    await mkdir(path)
    await chmod(path, mode)
  }
  await writeFile(join(agentFolder, 'agent'), fakeAgent, { mode: 0o755 })
  const minter = await startMinter(cluster)
  const account = (name: Name): Account => {
    const { uid, groups } = people[name]
    const supplementary = Object.entries(groups).map(([group, gid]) => ({ name: group, gid }))
    return { name, uid, gid: uid, groups: supplementary, home: view.home(name), shell: '/bin/bash' }
  }
  const config: SlurmSite['config'] = (part) => ({
    ...configSchema.parse({
      endpoint: cluster.restUrl,
      version: 'v0.0.38',
      tokens: minter.socket,
      observer: 'hutch',
      agentFolder,
      output: join(outputFolder, '{user}-{id}'),
      ...part,
    }),
    // Shorter than a site may have it: a test's cluster has nothing else to do.
    ...(part !== undefined && 'interval' in part ? {} : { interval: 150 }),
  })
  return {
    cluster,
    tokens: minter.socket,
    auditFile: minter.auditFile,
    stateFolder,
    agentFolder,
    outputFolder,
    account,
    config,
    async open(hub = 'tested', part = {}, { log = silentLog, now = () => new Date(), tokens }: Own = {}) {
      const context = spawnerContext({ hub, name: 'cluster', stateFolder: join(stateFolder, hub), log, now })
      await mkdir(context.stateFolder, { recursive: true })
      const own = config(part)
      return createSlurm(own, context, restCluster(own, tokens ?? createTokens(own.tokens, now)))
    },
    async close() {
      await minter.stop()
      await cluster.close()
    },
  }
}

interface Minter {
  readonly socket: string
  readonly auditFile: string
  stop(): Promise<void>
}

/** The real one, in a process of its own, with a copy of the key. */
async function startMinter({ folder, keyFile, view, env }: SlurmCluster): Promise<Minter> {
  const own = join(folder, 'minter')
  await mkdir(own, { mode: 0o700 })
  const [key, socket, auditFile] = [join(own, 'key'), join(folder, 'run/tokens'), join(own, 'audit')]
  await copyFile(keyFile, key)
  await chmod(key, 0o400)
  const argv = [process.execPath, join(project, 'bin/hutch-slurm-minter.js')]
  const options = ['--key', key, '--audit', auditFile, '--socket', socket, '--also', 'hutch']
  const [command = '', ...rest] = view.within([...argv, ...options])
  const child = spawn(command, rest, { env, stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' })
  let output = ''
  child.stdout.on('data', (data: Buffer) => (output += data.toString()))
  const ended = once(child, 'close')
  await until('the minter listens', () => output.includes('listens'), { timeoutMs: 60_000 })
  return {
    socket,
    auditFile,
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** Takes the claim as the real one does, and does as it is told. */
export const fakeAgent = `#!/bin/bash
read -r claim
set -- $HUTCH_TEST
case $1 in
  end) exit "$2" ;;
  eat) exec python3 -c 'held = bytearray(2**30); import time; time.sleep(60)' ;;
  facts) { id -un; id -u; cat "$HOME/ours" /etc/image-name; echo "$PWD"; ls /proc | grep -c '^[0-9]'; touch /usr/x; } >"$HOME/facts" 2>&1; exit 0 ;;
  print) head -c "$2" /dev/zero | tr '\\0' 'x' | fold -w 79 ;;
esac
trap 'kill $!; exit 0' TERM
sleep 600 &
wait
`

/** An unpacked image of the least that the fake agent needs, with places for a home and the agent. */
export async function makeImage(site: SlurmSite): Promise<string> {
  const image = join(site.cluster.folder, 'image')
  const programs = 'bash id ls cat grep touch sleep env'
  const script = `set -e
mkdir -p "$1" && cd "$1" && mkdir -p bin etc usr/bin proc dev sys tmp run home mnt "$1$2"
chmod 1777 tmp
for name in ${programs}; do path=$(readlink -f "$(command -v "$name")"); cp "$path" "bin/$name"; cp "$path" "usr/bin/$name"
ldd "$path" | grep -o '/[^ ]*' | while read -r each; do mkdir -p ".$(dirname "$each")"; cp -L "$each" ".$each"; done; done
echo 'an image of the tests' >etc/image-name; echo 'root:x:0:0:root:/root:/bin/bash' >etc/passwd; echo 'root:x:0:' >etc/group
for name in hosts resolv.conf nsswitch.conf; do : >"etc/$name"; done; echo 'passwd: files' >etc/nsswitch.conf; echo 'group: files' >>etc/nsswitch.conf
cp -L /lib/x86_64-linux-gnu/libnss_files* lib/x86_64-linux-gnu/ 2>/dev/null || true
chmod -R go+rX .`
  await site.cluster.run(['bash', '-c', script, 'bash', image, site.account('ada').home])
  return image
}

export function slurmSpec(
  site: SlurmSite,
  name: Name,
  part: Partial<Omit<EnvironmentSpec, 'profile'>> & { id: EnvironmentId; profile?: object },
): EnvironmentSpec<SlurmProfile> {
  const account = site.account(name)
  return contractSpec(part.hub ?? 'tested', part.id, profileSchema.parse(part.profile ?? {}), {
    owner: name,
    prefix: `/user/${name}/${part.id}/`,
    account,
    resources: { cpu: 1, memoryBytes: 2 ** 27, gpus: 0, walltimeMs: 1_800_000 },
    mounts: [{ name: 'home', source: { kind: 'host', path: account.home }, target: account.home, readOnly: false }],
    ...part,
    profile: profileSchema.parse(part.profile ?? {}),
  })
}

export function slurmSubject(site: SlurmSite): ContractSubject<SlurmProfile> {
  return {
    patienceMs: 120_000,
    spawner: (hub) => site.open(hub, { extend: true }),
    spec(hub, id, behaviour) {
      const profile = behaviour.does === 'refuse' ? { partition: 'nowhere' } : {}
      return slurmSpec(site, 'ada', { id, hub, profile, variables: { HUTCH_TEST: told(behaviour) } })
    },
    async cut() {
      await site.cluster.kill('slurmrestd')
      return () => site.cluster.start('slurmrestd')
    },
    async count(id) {
      const names = (await site.cluster.run(['squeue', '-h', '-o', '%j'])).split('\n')
      return names.filter((name) => name.includes(`-${id}-`)).length
    },
  }
}

export function told(behaviour: ContractBehaviour): string {
  switch (behaviour.does) {
    case 'run':
    case 'refuse':
      return 'run'
    case 'print':
      return `print ${behaviour.bytes}`
    case 'end':
      return `end ${behaviour.exitCode}`
  }
}
