/** Who may import whom, and that every relative import ends in .ts (tsc accepts ./app.js for app.ts, Node does not). */
import { glob, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import test from 'ava'

const mayImport: Readonly<Record<string, readonly string[]>> = {
  config: ['config'],
  images: ['images', 'config'],
  spawners: ['spawners', 'images', 'config'],
  proxy: ['proxy', 'images', 'config'],
  hub: ['hub', 'proxy', 'spawners', 'images', 'config'],
  tests: ['tests', 'bin', 'hub', 'proxy', 'spawners', 'images', 'config'],
}

const importing = /(?:from\s+|import\s*\(?\s*)['"](\.{1,2}\/[^'"]+)['"]/g

for (const [room, allowed] of Object.entries(mayImport)) {
  test(`${room} imports only from ${allowed.join(', ')}, with .ts`, async (t) => {
    let seen = 0
    for await (const file of glob(`${room}/**/*.ts`)) {
      for (const [, target = ''] of (await readFile(file, 'utf8')).matchAll(importing)) {
        seen += 1
        const path = normalize(join(dirname(file), target))
        t.true(path === 'package.json' || allowed.includes(path.split('/')[0] ?? ''), `${file} imports ${path}`)
        // bin is plain JavaScript.
        t.regex(target, path.startsWith('bin/') ? /\.js$/ : /\.(ts|json)$/, `${file} imports ${target} without .ts`)
      }
    }
    t.true(seen > 0 || room === 'config', `nothing was looked at in ${room}`)
  })
}
