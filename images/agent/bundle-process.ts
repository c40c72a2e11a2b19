/** node bundle-process.ts FOLDER: a process of its own, so that the bundler's memory ends with it. */
import { bundleAgent } from './bundle.ts'

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: bundle-process.ts FOLDER')
await bundleAgent(folder)
