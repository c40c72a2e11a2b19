/**
 * npm run slurm:types: the types of slurmrestd's interface, generated from the documents that real ones give.
 * v0.0.38 from Debian bookworm's (22.05), v0.0.42 from Debian trixie's (24.11). Needs root, and debootstrap.
 */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startSlurm } from './cluster.ts'
import { patched, type OpenapiDocument } from './patches.ts'

const rest = new URL('../../../spawners/slurm/rest/generated/', import.meta.url).pathname
/** TypeScript 5 beside the project's own: the generator prints with its library, which 7 does not have. */
const generator = ['--yes', '--package=openapi-typescript@7.13.0', '--package=typescript@5.9.3']

await generate('v0.0.38', await documentOf2205())
await generate('v0.0.42', await documentOf2411())

async function generate(version: keyof typeof patched, document: OpenapiDocument): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'hutch-types-'))
  try {
    const [input, output] = [join(folder, 'openapi.json'), join(rest, `${version.replaceAll('.', '_')}.ts`)]
    await writeFile(input, JSON.stringify(patched[version](document)))
    const options = ['--default-non-nullable', 'false', '--empty-objects-unknown', '-o', output]
    await promisify(execFile)('npm', ['exec', ...generator, '--', 'openapi-typescript', input, ...options])
    process.stdout.write(`${output}\n`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function documentOf2205(): Promise<OpenapiDocument> {
  const cluster = await startSlurm()
  try {
    const headers = { 'X-SLURM-USER-NAME': 'ada', 'X-SLURM-USER-TOKEN': await cluster.token('ada') }
    const answer = await fetch(`${cluster.restUrl}/openapi/v3`, { headers, signal: AbortSignal.timeout(30_000) })
    return (await answer.json()) as OpenapiDocument
  } finally {
    await cluster.close()
  }
}

/** It prints its document without a cluster. */
async function documentOf2411(): Promise<OpenapiDocument> {
  const root = await mkdtemp('/srv/hslurm-trixie-')
  try {
    const include = '--include=slurmrestd,slurm-wlm-basic-plugins,slurm-wlm-jwt-plugin'
    const made = spawnSync('debootstrap', ['--variant=minbase', include, 'trixie', root], { timeout: 900_000 })
    if (made.status !== 0) throw new Error(`debootstrap failed: ${String(made.stdout).slice(-500)}`)
    await writeFile(join(root, 'etc/slurm/slurm.conf'), 'ClusterName=c\nSlurmctldHost=localhost\n')
    const argv = '-d v0.0.42 -s slurmctld,slurmdbd --generate-openapi-spec'.split(' ')
    const options = { env: { PATH: '/usr/sbin:/usr/bin', SLURM_JWT: 'daemon' }, maxBuffer: 2 ** 27 }
    const done = await promisify(execFile)('chroot', [root, 'slurmrestd', ...argv], options)
    return JSON.parse(done.stdout) as OpenapiDocument
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 5 })
  }
}
