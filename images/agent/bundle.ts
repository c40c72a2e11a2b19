/**
 * The agent as one file with its few assets beside it. It starts faster and takes 40 MB less than the checkout's
 * TypeScript, shows an environment nothing of the rest of the project, and can be copied.
 */
import { chmod, copyFile, cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Plugin } from 'esbuild'
import { nodeFlags } from './node-flags.ts'

export interface Bundle {
  /** Runs with Node 24: node [...nodeFlags] script --config FILE|- */
  readonly script: string
  readonly nodeFlags: readonly string[]
}

const here = import.meta.dirname
const require = createRequire(import.meta.url)
const ownAssets = `page.css terminal.html terminal.css terminal.js notices.js renewed.html renewed.js
    desktop.html desktop.css desktop.js desktop-files.js desktop-keys.js`.split(/\s+/)
const assets: readonly (readonly [name: string, from: string])[] = [
  ...ownAssets.map((name) => [name, join(here, 'assets', name)] as const),
  ['xterm.js', require.resolve('@xterm/xterm/lib/xterm.js')],
  ['xterm.css', require.resolve('@xterm/xterm/css/xterm.css')],
  ['addon-fit.js', require.resolve('@xterm/addon-fit/lib/addon-fit.js')],
]

/** Writes agent.cjs, pty.node and assets/ into `folder`, readable for everyone: it runs as any user. */
export async function bundleAgent(folder: string): Promise<Bundle> {
  // Loaded when wanted: most commands of the hub never bundle.
  const { build } = await import('esbuild')
  const script = join(folder, 'agent.cjs')
  await mkdir(join(folder, 'assets'), { recursive: true })
  for (const each of [folder, join(folder, 'assets')]) await chmod(each, 0o755)
  await build({
    entryPoints: [join(here, 'main.ts')],
    outfile: script,
    bundle: true,
    platform: 'node',
    target: 'node24',
    // Without Node's loader of ES modules: 4 MB less.
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'eof',
    define: { 'import.meta.dirname': '__dirname', 'import.meta.url': '__filename' },
    // Optional accelerators of ws, which it does without.
    external: ['bufferutil', 'utf-8-validate'],
    plugins: [besideScript],
    logLevel: 'silent',
  })
  await copyFile(ptyBinary(), join(folder, 'pty.node'))
  const contents = await Promise.all(assets.map(async ([name, from]) => [name, await readFile(from)] as const))
  for (const [name, content] of [...contents, ['novnc.js', await bundleNovnc()] as const]) {
    const path = join(folder, 'assets', `${name}.gz`)
    await writeFile(path, await promisify(gzip)(content, { level: 9 }))
    await chmod(path, 0o644)
  }
  // JupyterLab reads it, as it is.
  const jupyter = join(folder, 'assets', 'jupyter')
  await cp(join(here, 'assets', 'jupyter'), jupyter, { recursive: true })
  await chmod(jupyter, 0o755)
  for (const entry of await readdir(jupyter, { recursive: true, withFileTypes: true })) {
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644)
  }
  for (const name of ['agent.cjs', 'pty.node']) await chmod(join(folder, name), 0o644)
  return { script, nodeFlags }
}

/** noVNC's many modules as one: a desktop's first picture must not wait for each of them. */
async function bundleNovnc(): Promise<Uint8Array> {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    entryPoints: [join(here, 'assets', 'novnc.js')],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    minify: true,
    plugins: [withoutProbe],
    banner: { js: '/* noVNC (c) its authors, Mozilla Public License 2.0: source at github.com/novnc/noVNC */' },
    logLevel: 'silent',
  })
  return outputFiles[0]?.contents ?? new Uint8Array()
}

/**
 * noVNC decodes a picture of H.264 before anything else runs, to see whether it can. Where a browser has no decoder at
 * hand that takes many seconds, and what it is for is not in use here: Xvnc has no H.264.
 */
const withoutProbe: Plugin = {
  name: 'no probe of H.264',
  setup(build) {
    build.onLoad({ filter: /novnc\/core\/util\/browser\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      const contents = text.replace('await _checkWebCodecsH264DecodeSupport()', 'false')
      if (contents === text) throw new Error(`${path} probes in another way now: see withoutProbe`)
      return { contents, loader: 'js' }
    })
  },
}

export function ptyBinary(): string {
  const name = `@lydell/node-pty-${process.platform}-${process.arch}/pty.node`
  return createRequire(require.resolve('node-pty')).resolve(name)
}

/** node-pty looks for its binary in a package; here it lies beside the script. */
const besideScript: Plugin = {
  name: 'binary beside the script',
  setup(build) {
    build.onLoad({ filter: /node-pty\/requireBinary\.js$/ }, () => ({
      contents: `exports.requireBinary = (file) => {
        const loaded = { exports: {} }
        process.dlopen(loaded, require('node:path').join(__dirname, file))
        return loaded.exports
      }`,
      loader: 'js',
    }))
  },
}
