/** Programs of others that are built from their Go modules, once for each version, and kept outside the checkout. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { available, program } from './component.ts'

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'hutch-tests')
const buildTimeoutMs = 30 * 60_000

const tools = {
  helm: { module: 'helm.sh/helm/v3/cmd', programs: ['helm'], version: 'v3.19.5' },
  kwok: { module: 'sigs.k8s.io/kwok/cmd', programs: ['kwok'], version: 'v0.7.0' },
  // Debian's has neither image volumes nor strict groups.
  containerd: {
    module: 'github.com/containerd/containerd/v2/cmd',
    programs: ['containerd', 'containerd-shim-runc-v2'],
    version: 'v2.2.9',
  },
} as const

/** Its path, after some minutes where it was not built yet. Undefined: Go is missing, and the test has said so. */
export async function goTool(t: ExecutionContext, name: keyof typeof tools): Promise<string | undefined> {
  const go = program('go', ['/usr/local/go/bin'])
  if (!available(t, 'go', go, 'install Go 1.24 or later') || go === undefined) return undefined
  const { module, programs, version } = tools[name]
  const folder = join(cache, `${name}-${version}`)
  if (!existsSync(folder)) {
    t.log(`building ${name} ${version}, once: some minutes …`)
    await mkdir(cache, { recursive: true })
    const draft = await mkdtemp(`${folder}.new-`)
    const env = { ...process.env, GOBIN: draft, CGO_ENABLED: '0', GOFLAGS: '' }
    const packages = programs.map((each) => `${module}/${each}@${version}`)
    const argv = ['install', '-trimpath', '-tags', 'no_btrfs,no_devmapper,no_zfs', '-ldflags', '-s -w', ...packages]
    await promisify(execFile)(go, argv, { cwd: tmpdir(), env, timeout: buildTimeoutMs, maxBuffer: 2 ** 26 })
    await rename(draft, folder)
  }
  return join(folder, name)
}
