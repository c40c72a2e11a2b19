/**
 * Plain JavaScript for any Node from 20 on: the hub and the proxy as a few bundled files, made once for each version
 * of the source. They need a third less memory than the source and start sooner. Kept beside the packages, so that
 * only who may change those may change them; where that can't be written, in a cache folder of this account alone.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = fileURLToPath(new URL('..', import.meta.url))
const rooms = ['config', 'hub', 'images/agent', 'proxy', 'spawners']
const buildTimeoutMs = 60_000
/** A hub that runs may still need its own: it starts the proxy from there when that has died. */
const mostKept = 6

/**
 * The file that runs `name` ('hub' or 'proxy'), made now if need be by `node`, a Node 24.
 * Undefined: run the source.
 */
export function findProgram(name, node, folders = cacheFolders()) {
  try {
    const version = digest()
    for (const folder of folders.filter(isPrivate)) {
      const file = join(folder, version, `${name}.mjs`)
      if (!existsSync(file)) continue
      use(join(folder, version))
      return file
    }
    return build(version, node, name, folders)
  } catch {
    return undefined // whatever is in the way, the source is the same program
  }
}

function build(version, node, name, folders) {
  const builder = ['js', 'ts'].map((type) => join(project, `hub/setup/bundle-program.${type}`)).find(existsSync)
  for (const folder of folders) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o755 })
    } catch {
      continue // the next one may be writable
    }
    if (!isPrivate(folder)) continue
    const wanted = join(folder, version)
    spawnSync(node, [builder, wanted], { stdio: 'ignore', timeout: buildTimeoutMs })
    if (!existsSync(join(wanted, `${name}.mjs`))) continue
    prune(folder)
    return join(wanted, `${name}.mjs`)
  }
  return undefined
}

function cacheFolders() {
  // The variable is systemd's, of a unit with CacheDirectory=.
  const own = process.env.CACHE_DIRECTORY?.split(':')[0] ?? process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  return [join(project, 'node_modules/.cache/hutch/programs'), join(own, 'hutch', 'programs')]
}

/** Nobody but its owner can write there, and that is root, this account, or whoever owns the source. */
function isPrivate(folder) {
  if (!existsSync(folder)) return false
  const { uid, mode } = lstatSync(folder)
  const owners = [0, process.getuid?.(), lstatSync(project).uid]
  return lstatSync(folder).isDirectory() && (mode & 0o022) === 0 && owners.includes(uid)
}

/** Of every file that may be in a bundle; the packages are as the lock file says. */
function digest() {
  const hash = createHash('sha256').update(project)
  const files = ['package.json', 'package-lock.json', 'bin/program.js']
  for (const room of rooms) {
    for (const file of readdirSync(join(project, room), { recursive: true })) {
      if (/\.[jt]s$/.test(file)) files.push(join(room, file))
    }
  }
  for (const file of files.toSorted()) {
    if (existsSync(join(project, file)))
      hash
        .update(file)
        .update('\0')
        .update(readFileSync(join(project, file)))
  }
  return hash.digest('hex').slice(0, 16)
}

/** So that what is in use is not taken for old. */
function use(folder) {
  try {
    utimesSync(folder, new Date(), new Date())
  } catch {
    // Somebody else's: then they look after it.
  }
}

function prune(folder) {
  const age = (each) => lstatSync(join(folder, each)).mtimeMs
  const old = readdirSync(folder)
    .toSorted((a, b) => age(b) - age(a))
    .slice(mostKept)
  for (const each of old) rmSync(join(folder, each), { recursive: true, force: true })
}
