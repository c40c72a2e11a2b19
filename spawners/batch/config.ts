import { z } from 'zod'
import { folder, jobFields } from '../slurm/config.ts'
import { gridEngineTemplate } from '../slurm/commands/gridengine.ts'
import { launcherSchema } from '../slurm/commands/launcher.ts'
import { slurmTemplate } from '../slurm/commands/slurm.ts'
import { templateSchema, type Template } from '../slurm/commands/template.ts'

const known = { slurm: slurmTemplate, gridengine: gridEngineTemplate } as const

export const configSchema = z
  .strictObject({
    system: z
      .enum(['slurm', 'gridengine', 'other'])
      .describe(
        'Whose commands: slurm and gridengine are known; of any other one `template` tells all (examples for LSF, PBS and HTCondor are in config/batch).',
      ),
    template: z
      .record(z.string(), z.unknown())
      .default({})
      .describe(
        'How the commands are called and read, each instead of what is known of the system. config/batch/README.md tells of each field. Default: as it is known.',
      ),
    launcher: launcherSchema.describe('How the commands become those of the user.'),
    commands: folder.default('/usr/bin').describe('The folder of the commands. Default: /usr/bin.'),
    variables: z
      .record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), z.string().max(1_000))
      .default({})
      .describe('What they find in their environment, such as SLURM_CONF or SGE_ROOT. Default: nothing.'),
    ...jobFields,
  })
  .superRefine((config, context) => {
    const read = templateSchema.safeParse(whole(config))
    for (const { path, message } of read.error?.issues ?? []) {
      context.addIssue({ code: 'custom', path: ['template', ...path], message })
    }
    if (config.extend && read.data !== undefined && read.data.extend === undefined) {
      context.addIssue({ code: 'custom', path: ['extend'], message: 'this system has no command for it' })
    }
  })

export type BatchConfig = z.output<typeof configSchema>

/** What the configuration says before what is known. */
function whole({ system, template }: Pick<BatchConfig, 'system' | 'template'>): object {
  return system === 'other' ? template : { ...known[system], ...template }
}

export function templateOf(config: BatchConfig): Template {
  return templateSchema.parse(whole(config))
}
