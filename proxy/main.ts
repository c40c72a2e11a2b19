/** Where the proxy's processes begin. With what was compiled last time they need a quarter less memory, and start sooner. */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Without a place to write nothing is kept, and nothing is said.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/hutch', import.meta.url)))
const { runProxy } = await import('./run.ts')
await runProxy(process.argv.slice(2))
// Otherwise only a process that ends by itself keeps it.
flushCompileCache()
