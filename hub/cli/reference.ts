/** `hutch reference`: what can be configured, of this very release. */
import { renderJsonSchema, renderReference } from '../../config/reference.ts'
import { builtInSpawners, resolveSpawner } from '../setup/spawner-types.ts'
import { readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { exitCodes } from './failure.ts'

export const reference: Command = {
  help: `Usage: hutch reference [--schema]

Prints every field of the configuration: what it does, its form and its default (Markdown).

Options
  --schema    prints the JSON schema instead, for editors that check while you type
  --help      prints this`,

  async run(argv, terminal) {
    const { values } = readArguments('hutch reference', argv, { schema: { type: 'boolean' } })
    const text = values.schema === true ? renderJsonSchema() : await referencePage(terminal.folder)
    terminal.print(text.trimEnd())
    return exitCodes.ok
  },
}

async function referencePage(folder: string): Promise<string> {
  const types = builtInSpawners.map(async (type) => [type, await resolveSpawner(type, folder)] as const)
  return renderReference(Object.fromEntries(await Promise.all(types)))
}
