/**
 * A real Kubernetes of one node on this machine, brought up and down by tests/clusters/kubernetes, and what goes into
 * it. Its binaries are built once and kept outside the checkout; every cluster has its own folder, ports and network.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'
import { baseSystem } from './fresh-machine.ts'

const run = promisify(execFile)
const scripts = join(import.meta.dirname, '../clusters/kubernetes')
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'hutch-tests')

export interface Cluster {
  /** Everything that it keeps: logs, certificates. */
  readonly folder: string
  /** The administrator's. */
  readonly kubeconfig: string
  /** Where pods reach this machine. */
  readonly gateway: string
  readonly apiPort: number
  /** The network device of its pods. */
  readonly bridge: string
  /** Runs kubectl and gives what it prints. */
  readonly kubectl: (...args: readonly string[]) => Promise<string>
  /** argv that would run it, with KUBECONFIG set. */
  readonly kubectlLine: (...args: readonly string[]) => readonly string[]
  readonly apply: (manifest: object) => Promise<void>
  readonly create: (manifest: object) => Promise<void>
}

/** An image in every cluster: Debian's minimal system with python3. */
export const baseImage = 'localhost/base:1'

export interface ClusterOptions {
  /** Archives of more images, as of `docker save`. */
  readonly images?: readonly string[]
  /** With kube-proxy, so that Services work. */
  readonly services?: boolean
  /** The program, with its shim beside it: a runtime that has image volumes, and the cluster allows them. */
  readonly containerd?: string
  /** The program: it simulates nodes that are annotated kwok.x-k8s.io/node=fake. */
  readonly kwok?: string
}

/** Undefined: something is missing, and the test has said so. */
export async function startKubernetes(
  t: ExecutionContext,
  { images = [], services = false, kwok, containerd }: ClusterOptions = {},
): Promise<Cluster | undefined> {
  const needs = [
    ['root', process.getuid?.() === 0, 'run the tests as root'],
    ['go', program('go', ['/usr/local/go/bin']), 'install Go 1.24 or later'],
    ['containerd', program('containerd'), 'apt-get install containerd runc containernetworking-plugins'],
    ['debootstrap', program('debootstrap'), 'apt-get install debootstrap'],
    ['iptables', program('iptables'), 'apt-get install iptables'],
    ['nft', !services || existsSync('/usr/sbin/nft'), 'apt-get install nftables'],
  ] as const
  for (const [name, found, remedy] of needs) if (!available(t, name, found, remedy)) return undefined
  const binaries = await kubernetesBinaries()
  const base = await makeBaseImage()
  // Short, because unix sockets lie in it.
  const folder = await mkdtemp(join(tmpdir(), 'hutch-k8s-'))
  const slot = await freeSlot(t)
  const env = {
    ...process.env,
    // The packages have programs of these names as well.
    PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${process.env['PATH']}`,
    RUN: folder,
    BINARIES: binaries,
    SLOT: String(slot),
    ...(services && { WITH_PROXY: '1' }),
    ...(kwok !== undefined && { KWOK: kwok }),
    ...(containerd !== undefined && { CONTAINERD: dirname(containerd) }),
  }
  t.teardown(async () => {
    await run(join(scripts, 'down.sh'), { env, timeout: 300_000 }).catch((error: unknown) => t.log(String(error)))
    await rm(folder, { recursive: true, force: true })
  })
  try {
    await run(join(scripts, 'up.sh'), [base, ...images], { env, timeout: 900_000 })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`the cluster did not come up: ${stdout}${stderr}`, { cause: error })
  }
  const kubeconfig = join(folder, 'admin.kubeconfig')
  const kubectlEnv = { ...process.env, KUBECONFIG: kubeconfig }
  const kubectl = async (...args: readonly string[]): Promise<string> =>
    (await run(join(binaries, 'hyperkube'), ['kubectl', ...args], { env: kubectlEnv, timeout: 300_000 })).stdout
  const feed = async (verb: string, manifest: object): Promise<void> => {
    const running = run(join(binaries, 'hyperkube'), ['kubectl', verb, '-f', '-'], { env: kubectlEnv })
    running.child.stdin?.end(JSON.stringify(manifest))
    await running
  }
  return {
    folder,
    kubeconfig,
    gateway: `10.${100 + slot}.0.1`,
    bridge: `hutchk8s${slot}`,
    apiPort: 21_000 + slot * 20 + 2,
    kubectl,
    kubectlLine: (...args) => [join(binaries, 'hyperkube'), 'kubectl', ...args],
    apply: (manifest) => feed('apply', manifest),
    create: (manifest) => feed('create', manifest),
  }
}

/** Ports, a bridge and a network that no other cluster of this machine has: held by listening, until the test ends. */
async function freeSlot(t: ExecutionContext): Promise<number> {
  for (let slot = 0; slot < slots; slot += 1) {
    const server = createServer()
    const isOurs = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen({ host: '127.0.0.1', port: 21_000 + slot * 20 + 19, exclusive: true }, () => resolve(true))
    })
    if (!isOurs) continue
    t.teardown(() => server.close())
    return slot
  }
  throw new Error(`${slots} clusters run on this machine: bring some down`)
}

const slots = 100

/** About ten minutes, once for each version of the modules. `say` is told when it takes them. */
export async function kubernetesBinaries(say: (line: string) => void = () => undefined): Promise<string> {
  const hash = createHash('sha256')
  for (const name of ['build.sh', 'binaries/go.sum', 'binaries/main.go', 'binaries/pause/main.go']) {
    hash.update(await readFile(join(scripts, name)))
  }
  const folder = join(cache, `kubernetes-${hash.digest('hex').slice(0, 12)}`)
  if (existsSync(folder)) return folder
  say('building Kubernetes from its Go modules, once: about ten minutes …')
  await mkdir(cache, { recursive: true })
  const draft = await mkdtemp(`${folder}.new-`)
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/local/go/bin` }
  await run(join(scripts, 'build.sh'), [draft], { env, timeout: 45 * 60_000, maxBuffer: 2 ** 26 })
  await rename(draft, folder)
  return folder
}

async function makeBaseImage(): Promise<string> {
  const system = baseSystem(program('debootstrap') ?? '')
  const image = `${system}.image.tar`
  if (existsSync(image)) return image
  const draft = await mkdtemp(`${image}.new-`)
  const layer = join(draft, 'layer')
  await run('tar', ['-C', system, '--numeric-owner', '-cf', layer, '.'])
  const settings = { Cmd: ['/bin/bash'], Env: ['PATH=/usr/local/bin:/usr/bin:/bin'] }
  await run(join(scripts, 'image.py'), [join(draft, 'image'), baseImage, layer, JSON.stringify(settings)])
  await rename(join(draft, 'image'), image)
  await rm(draft, { recursive: true })
  return image
}
