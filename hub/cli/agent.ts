/** `hutch agent export`: what runs inside environments, as a folder that needs nothing of the image around it. */
import { resolve } from 'node:path'
import { exportAgent } from '../../images/agent/export.ts'
import { readArguments, UsageError } from './arguments.ts'
import type { Command } from './command.ts'
import { exitCodes } from './failure.ts'

export const agent: Command = {
  help: `Usage: hutch agent export DIR

Writes the agent to DIR, about 130 MB: Node with its loader and libraries, the agent as one file, and a
manifest with checksums. It needs nothing of the image that it runs in: mount it, copy it into images,
or put it on a disk that all nodes see. An earlier export in DIR is replaced and kept as DIR.previous.

Options
  --help      prints this`,

  async run(argv, terminal) {
    const { positionals } = readArguments('hutch agent', argv, {}, { positionals: 2 })
    const [action, folder] = positionals
    if (action !== 'export' || folder === undefined) throw new UsageError('write: hutch agent export DIR')
    await exportAgent({ folder: resolve(terminal.folder, folder), log: (line) => terminal.error(line) })
    return exitCodes.ok
  },
}
