/**
 * A Docker daemon for one test, with images from the cache: a copy of the data root whose layers are hard links, and a
 * network namespace of its own, so that no firewall rule or bridge of this machine is touched. One pair of virtual
 * interfaces leads from this machine to its containers, as on a machine that runs Docker itself.
 */
import { execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { authority, type Signed } from './certificate.ts'
import { available, program } from './component.ts'
import { builtImages } from './docker-cache.ts'
import { startDaemon, type Daemon } from './dockerd.ts'

const run = promisify(execFile)

export interface TestDocker {
  readonly socket: string
  /** Where it stores all that it has. */
  readonly data: string
  /** This machine, as containers reach it. */
  readonly machine: string
  /** Where it was asked for: the same daemon as on another machine, with whose authority certificates are made. */
  readonly secured?: Secured
  /** Networks of containers lie in here: this machine reaches them. */
  readonly addresses: string
  /** What an image of images/ is called here. */
  image(name: string): string
  docker(...argv: readonly string[]): Promise<string>
  /** Ends the daemon; containers go on where `liveRestore` was asked for. */
  stopDaemon(): Promise<void>
  startDaemon(): Promise<void>
}

interface Secured {
  readonly host: string
  readonly endpoint: string
  readonly ca: string
  readonly client: Signed
}

export interface DockerOptions {
  readonly images?: readonly string[]
  readonly liveRestore?: boolean
  readonly tls?: boolean
  /** All that it stores lies on so much memory, and no image is there. */
  readonly diskBytes?: number
}

/** Undefined: something is missing, and the test has said so. */
export async function startDocker(
  t: ExecutionContext,
  { images = [], liveRestore = false, tls = false, diskBytes }: DockerOptions = {},
): Promise<TestDocker | undefined> {
  const needs = [
    ['root', process.getuid?.() === 0, 'run the tests as root'],
    ['docker', program('dockerd'), 'apt-get install docker.io'],
    ['debootstrap', program('debootstrap'), 'apt-get install debootstrap'],
    ['iptables', program('iptables'), 'apt-get install iptables'],
    ['ip', program('ip'), 'apt-get install iproute2'],
  ] as const
  for (const [name, found, remedy] of needs) if (!available(t, name, found, remedy)) return undefined
  const folder = await mkdtemp(join(tmpdir(), 'hutch-dk-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const { data, tags } = diskBytes === undefined ? await copyOfCache(t, images) : await smallDisk(t, folder, diskBytes)
  const { pid, machine, inner, addresses } = await makeNetwork(t)
  const secured = tls ? await overTls(folder, inner) : undefined
  const options = {
    folder,
    data,
    within: ['nsenter', '--target', String(pid), '--net', '--mount'],
    argv: [
      `--bip=${addresses.replace('.0.0/16', '.255.1/24')}`,
      `--default-address-pool=base=${addresses},size=24`,
      `--insecure-registry=${machine}/32`,
      ...(liveRestore ? ['--live-restore'] : []),
      ...(secured?.argv ?? []),
      // Docker would try for minutes.
      ...(diskBytes === undefined ? [] : ['--max-download-attempts=1']),
    ],
  }
  let daemon: Daemon | undefined
  t.teardown(async () => {
    daemon ??= await startDaemon(options)
    const containers = (await daemon.docker('ps', '--all', '--quiet')).split('\n').filter(Boolean)
    if (containers.length > 0) await daemon.docker('rm', '--force', '--volumes', ...containers)
    await daemon.stop()
  })
  daemon = await startDaemon(options)
  const up = (): Daemon => {
    if (daemon === undefined) throw new Error('the daemon was stopped')
    return daemon
  }
  // What this machine asks of containers comes through; Docker itself lets in only published ports.
  await inside(pid, `${program('iptables')} --insert DOCKER-USER --in-interface machine --jump ACCEPT`)
  return {
    socket: daemon.socket,
    data,
    machine,
    addresses,
    ...(secured && { secured }),
    image: (name) => tags.get(name) ?? name,
    docker: (...argv) => up().docker(...argv),
    async stopDaemon() {
      await up().stop()
      daemon = undefined
    },
    async startDaemon() {
      daemon ??= await startDaemon(options)
    },
  }
}

/** Who has no certificate of this authority gets nowhere. */
async function overTls(folder: string, host: string): Promise<Secured & { readonly argv: readonly string[] }> {
  const { ca, sign } = await authority(folder)
  const [server, client] = [await sign('server', { address: host }), await sign('client')]
  const files = [`--tlscacert=${ca}`, `--tlscert=${server.cert}`, `--tlskey=${server.key}`]
  const argv = [`--host=tcp://${host}:${tlsPort}`, '--tlsverify', ...files]
  return { host, endpoint: `tcp://${host}:${tlsPort}`, ca, client, argv }
}

const tlsPort = 2_376

async function smallDisk(
  t: ExecutionContext,
  folder: string,
  bytes: number,
): Promise<{ data: string; tags: ReadonlyMap<string, string> }> {
  const data = join(folder, 'data')
  await mkdir(data)
  await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'small', data])
  t.teardown(() => run('umount', ['--lazy', data]))
  return { data, tags: new Map() }
}

/** Beside the cache, so that links can be made. Layers are never written to; everything else is copied. */
async function copyOfCache(
  t: ExecutionContext,
  images: readonly string[],
): Promise<{ data: string; tags: ReadonlyMap<string, string> }> {
  return await builtImages(
    images,
    async (root, built) => {
      const data = await mkdtemp(join(dirname(root), 'copy-'))
      t.teardown(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
      for (const name of existsSync(root) ? await readdir(root) : []) {
        // The builder's cache and its half-made layers are of no use here.
        if (['buildkit', 'containers', 'network', 'runtimes', 'tmp', 'volumes'].includes(name)) continue
        await run('cp', [name === 'overlay2' ? '-al' : '-a', join(root, name), join(data, name)])
      }
      return { data, tags: new Map(built.map(({ name, tag }) => [name, tag])) }
    },
    (line) => t.log(line),
  )
}

/** A process that holds a network and a mount namespace, joined to this machine by one pair of interfaces. */
async function makeNetwork(
  t: ExecutionContext,
): Promise<{ pid: number; machine: string; inner: string; addresses: string }> {
  const slot = randomInt(256)
  const outer = `hutchd${slot}`
  const [machine, inner] = [`10.253.${slot}.1`, `10.253.${slot}.2`]
  const addresses = `10.${randomInt(200, 250)}.0.0/16`
  const argv = ['--net', '--mount', '--propagation', 'private', 'sh', '-c', 'echo made; exec cat']
  const holder = spawn('unshare', argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  const pid = holder.pid ?? 0
  t.teardown(async () => {
    // With the namespace go its interfaces, bridges and rules.
    holder.kill('SIGKILL')
    await run('ip', ['link', 'delete', outer]).catch(() => undefined)
  })
  const ip = async (line: string) => await run('ip', line.split(' '))
  await ip(`link add ${outer} type veth peer name machine netns ${pid}`)
  await ip(`address add ${machine}/30 dev ${outer}`)
  await ip(`link set ${outer} up`)
  await inside(pid, 'ip link set lo up')
  await inside(pid, `ip address add ${inner}/30 dev machine`)
  await inside(pid, 'ip link set machine up')
  await inside(pid, `ip route add default via ${machine}`)
  await ip(`route add ${addresses} via ${inner}`)
  return { pid, machine, inner, addresses }
}

async function inside(pid: number, line: string): Promise<void> {
  await run('nsenter', ['--target', String(pid), '--net', ...line.split(' ')])
}
