/**
 * node make-package.ts FOLDER: this project as it is installed, in a new folder: JavaScript instead of TypeScript,
 * because Node strips no types below node_modules, and nothing that only we need. `npm run package` packs it.
 */
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = fileURLToPath(new URL('../..', import.meta.url))
const rooms = ['bin', 'config', 'hub', 'images', 'proxy', 'spawners']
const documents = ['LICENSE', 'README.md', 'CHANGELOG.md', 'ARCHITECTURE.md']

/** A text that is a path of ours and nothing else: what is imported, forked, bundled. */
const sourcePath = /(['"`])([\w./-]*\w)\.ts\1/g

const [target] = process.argv.slice(2)
if (target === undefined) throw new Error('usage: make-package.ts FOLDER')
await makePackage(resolve(target))

async function makePackage(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  for (const room of rooms) {
    for (const file of await readdir(join(project, room), { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue
      const path = join(file.parentPath, file.name)
      await ship(path, join(folder, path.slice(project.length)))
    }
  }
  for (const name of documents) await cp(join(project, name), join(folder, name))
  await writeFile(join(folder, 'package.json'), await manifest())
}

async function ship(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  if (from.endsWith('.d.ts')) return
  if (!/\.[jt]s$/.test(from) || from.includes('/assets/')) return await cp(from, to)
  const text = await readFile(from, 'utf8')
  const script = from.endsWith('.ts') ? stripTypeScriptTypes(text) : text
  const mode = from.includes('/bin/') ? 0o755 : 0o644
  await writeFile(to.replace(/\.ts$/, '.js'), script.replaceAll(sourcePath, '$1$2.js$1'), { mode })
}

/** As it is for those who install it: `node` brings Node 24, and nothing is run at the installation but its own. */
async function manifest(): Promise<string> {
  const whole = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as Record<string, unknown>
  const kept = ['name', 'version', 'description', 'license', 'bin', 'type', 'exports', 'dependencies', 'engines']
  const own = Object.fromEntries(kept.map((key) => [key, whole[key]]))
  return `${JSON.stringify(own, null, 2).replaceAll(sourcePath, '$1$2.js$1')}\n`
}
