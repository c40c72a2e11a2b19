/**
 * npm run images [-- name… --prefix hutch --docker docker --network default]: builds images/<name>/Dockerfile with plain
 * Docker, those that others are built from first. `docker build` by hand does the same.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { imageFolders } from './folders.ts'
import { inOrder } from './order.ts'

const checkout = join(import.meta.dirname, '..')
/** Docker takes them for a build and leaves them out of the image; values come from this process. */
const proxies = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy']

process.exitCode = main()

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      prefix: { type: 'string', default: 'hutch' },
      docker: { type: 'string', default: 'docker' },
      network: { type: 'string', default: 'default' },
    },
  })
  const folders = imageFolders(checkout)
  const unknown = positionals.filter((name) => !folders.some((folder) => folder.name === name))
  if (unknown.length > 0) {
    const known = folders.map(({ name }) => name).join(', ')
    return fail(`there is no image ${unknown.join(', ')}: choose from ${known}, or add images/<name>/Dockerfile`)
  }
  const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }
  const source = sourceAddress()
  for (const { name, base, fromCheckout } of inOrder(folders, positionals)) {
    const tag = (image: string, at: string) => `${values.prefix}/${image}:${at}`
    const options = {
      network: values.network,
      file: join(checkout, 'images', name, 'Dockerfile'),
      tag: [tag(name, version), tag(name, 'latest')],
      'build-arg': [
        `VERSION=${version}`,
        `SOURCE=${source}`,
        ...(base === undefined ? [] : [`BASE=${tag(base, version)}`]),
        ...proxies.filter((proxy) => process.env[proxy] !== undefined),
      ],
    }
    const context = fromCheckout ? checkout : join(checkout, 'images', name)
    process.stdout.write(`building ${tag(name, version)}\n`)
    const { status, error } = spawnSync(values.docker, ['build', ...asArguments(options), context], {
      stdio: 'inherit',
    })
    if (error) return fail(`${values.docker} can't be started (${(error as NodeJS.ErrnoException).code})`)
    if (status !== 0) return fail(`${tag(name, version)} was not built: docker says why above`)
  }
  return 0
}

function asArguments(options: Readonly<Record<string, string | readonly string[]>>): string[] {
  return Object.entries(options).flatMap(([name, values]) => [values].flat().flatMap((value) => [`--${name}`, value]))
}

/** Where the checkout came from, when that is an address that others can use; without any login in it. */
function sourceAddress(): string {
  const { stdout } = spawnSync('git', ['config', '--get', 'remote.origin.url'], { cwd: checkout, encoding: 'utf8' })
  return /^https?:\/\/(?:[^@/]*@)?(.+)$/.exec((stdout ?? '').trim())?.[1]?.replace(/^/, 'https://') ?? ''
}

function fail(line: string): number {
  process.stderr.write(`images: ${line}\n`)
  return 1
}
