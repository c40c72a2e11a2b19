/** node bundle-program.ts FOLDER: the hub and the proxy as a few files in a new folder, whole or not at all. */
import { chmod, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'

const project = fileURLToPath(new URL('../..', import.meta.url))
/** Not where it is quoted: that speaks of it. */
const place = /(?<!['"`])\bimport\.meta\.(url|dirname|filename)\b/
/** As packages of the older kind say it, unless they make it themselves. */
const oldPlace = /\b__(?:dirname|filename)\b/
const ownPlace = /\b(?:var|let|const|function)\s+__(?:dirname|filename)\b/
const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: bundle-program.ts FOLDER')

const draft = await mkdtemp(`${folder}.`)
try {
  await bundleInto(draft)
  // Another account that may run the source may run this too.
  await chmod(draft, 0o755)
  await rename(draft, folder)
} finally {
  await rm(draft, { recursive: true, force: true })
}

async function bundleInto(outdir: string): Promise<void> {
  await build({
    absWorkingDir: project,
    entryPoints: { hub: join(project, 'hub/cli/run.ts'), proxy: join(project, 'proxy/main.ts') },
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    // What is loaded when wanted stays so.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Nothing is made shorter: a stack still says where it was.
    legalComments: 'none',
    // Packages of the older kind ask for Node's modules by it.
    banner: {
      js: "import { createRequire as hutchRequire } from 'node:module'\nconst require = hutchRequire(import.meta.url)",
    },
    // Optional accelerators that ws, pg and ssh2 (of dockerode) do without, and a bundler, which only the making of bundles needs.
    external: ['bufferutil', 'utf-8-validate', 'pg-native', 'esbuild', 'cpu-features'],
    plugins: [oneLanguage(), placesOfTheSource()],
    logLevel: 'error',
  })
}

/** zod brings its messages in sixty languages, half a megabyte, beside the English ones, which it takes by itself. */
function oneLanguage(): Plugin {
  return {
    name: 'messages in one language',
    setup(building) {
      building.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({ contents: 'export {}', loader: 'js' }))
    },
  }
}

/** Files that lie beside the source are found there: each place is written out as what it was. */
function placesOfTheSource(): Plugin {
  return {
    name: 'places of the source',
    setup(building) {
      building.onLoad({ filter: /\.[cm]?[jt]s$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8')
        if (oldPlace.test(text) && !ownPlace.test(text) && !place.test(text)) {
          const [folder, file] = [JSON.stringify(dirname(path)), JSON.stringify(path)]
          return { contents: `var __dirname = ${folder}, __filename = ${file};\n${text}`, loader: 'js' }
        }
        if (!place.test(text) || path.endsWith('/program-place.ts')) return undefined
        const places = { url: pathToFileURL(path).href, dirname: dirname(path), filename: path }
        const contents = text.replaceAll(new RegExp(place, 'g'), (_all, name: keyof typeof places) =>
          JSON.stringify(places[name]),
        )
        return { contents, loader: path.endsWith('ts') ? 'ts' : 'js' }
      })
    },
  }
}
