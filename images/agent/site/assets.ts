/** The files of the agent's pages: beside the bundled agent, or in a checkout its own and xterm.js's. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { gunzipSync, gzipSync } from 'node:zlib'

export interface Asset {
  readonly type: string
  /** Compressed with gzip, which every browser takes. */
  readonly body: Buffer
  readonly tag: string
}

export interface Assets {
  find(name: string): Promise<Asset | undefined>
  /** A page itself, made out for this user. */
  page(name: 'terminal.html' | 'desktop.html', user: string): Promise<Asset | undefined>
}

/** Name below static/ → media type. Nothing else is served. */
const types: Readonly<Record<string, string>> = {
  'page.css': 'text/css; charset=utf-8',
  'terminal.css': 'text/css; charset=utf-8',
  'terminal.js': 'text/javascript; charset=utf-8',
  'xterm.css': 'text/css; charset=utf-8',
  'xterm.js': 'text/javascript; charset=utf-8',
  'addon-fit.js': 'text/javascript; charset=utf-8',
  'notices.js': 'text/javascript; charset=utf-8',
  'renewed.html': 'text/html; charset=utf-8',
  'renewed.js': 'text/javascript; charset=utf-8',
  'desktop.css': 'text/css; charset=utf-8',
  'desktop.js': 'text/javascript; charset=utf-8',
  'desktop-files.js': 'text/javascript; charset=utf-8',
  'desktop-keys.js': 'text/javascript; charset=utf-8',
  'novnc.js': 'text/javascript; charset=utf-8',
}
const pages = ['terminal.html', 'desktop.html']

/**
 * Reads all of them now: the folder that they lie in may be replaced by a newer agent's while this one runs.
 * `locate` gives the path of a file by its name; one that ends in .gz is compressed already.
 */
export function createAssets(locate: (name: string) => string): Assets {
  const names = [...Object.keys(types), ...pages]
  const loaded = new Map(names.map((name) => [name, load(locate(name))]))
  return {
    async find(name) {
      const type = Object.hasOwn(types, name) ? types[name] : undefined
      const body = type === undefined ? undefined : await loaded.get(name)
      return type === undefined || body === undefined ? undefined : asset(type, body)
    },
    async page(name, user) {
      const template = await loaded.get(name)
      if (template === undefined) return undefined
      const text = gunzipSync(template).toString().replaceAll('{user}', escapeHtml(user))
      return asset('text/html; charset=utf-8', gzipSync(text))
    },
  }
}

async function load(path: string): Promise<Buffer | undefined> {
  const body = await readFile(path).catch(() => undefined)
  return body === undefined || path.endsWith('.gz') ? body : gzipSync(body)
}

function asset(type: string, body: Buffer): Asset {
  return { type, body, tag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` }
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
