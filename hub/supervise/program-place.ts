/** Where the proxy's program is: beside this one, bundled or as source. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The one file whose own address bundling leaves alone (hub/setup/bundle-program.ts). */
const bundled = fileURLToPath(new URL('proxy.mjs', import.meta.url))

/** Asked at each start: a bundle may be gone, and the source is the same program. */
export function proxyProgram(source: string): string {
  return existsSync(bundled) ? bundled : source
}
