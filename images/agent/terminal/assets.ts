/** The terminal page's files: beside the bundled agent, or in a checkout its own and xterm.js's. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

export interface Asset {
  readonly type: string
  readonly body: Buffer
  readonly tag: string
}

export interface Assets {
  find(name: string): Promise<Asset | undefined>
  /** The page itself, made out for this user. */
  page(user: string): Promise<Asset | undefined>
}

/** Name below static/ → media type. Nothing else is served. */
const types: Readonly<Record<string, string>> = {
  'terminal.css': 'text/css; charset=utf-8',
  'terminal.js': 'text/javascript; charset=utf-8',
  'xterm.css': 'text/css; charset=utf-8',
  'xterm.js': 'text/javascript; charset=utf-8',
  'addon-fit.js': 'text/javascript; charset=utf-8',
}

/** `locate` gives the path of a file by its name. Files are read when asked for and not kept: it is seldom. */
export function createAssets(locate: (name: string) => string): Assets {
  const read = async (name: string, type: string, change = (text: string) => text): Promise<Asset | undefined> => {
    const text = await readFile(locate(name), 'utf8').catch(() => undefined)
    if (text === undefined) return undefined
    const body = Buffer.from(change(text))
    return { type, body, tag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` }
  }
  return {
    async find(name) {
      const type = Object.hasOwn(types, name) ? types[name] : undefined
      return type === undefined ? undefined : await read(name, type)
    },
    page: async (user) =>
      await read('terminal.html', 'text/html; charset=utf-8', (text) => text.replaceAll('{user}', escapeHtml(user))),
  }
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
