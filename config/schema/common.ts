/** What several parts of the configuration are made of. */
import { z } from 'zod'

export const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,29}$/, 'must be lowercase letters, digits and hyphens, a letter first, at most 30')

export const secretFile = z
  .string()
  .min(1)
  .describe('Path of a file that holds the secret and nothing else (chmod 600), so that this file holds none.')

export const plugin = z
  .strictObject({
    package: z
      .string()
      .min(1)
      .max(500)
      .describe(
        'The path of a module beside this file (./ours.js), or the name of a package that is installed beside it.',
      ),
    options: z
      .record(z.string(), z.unknown())
      .default({})
      .describe("The plug-in's own fields, checked by its own schema. Secrets stay in files, here as everywhere."),
  })
  .describe("A plug-in of the site's own; see config/plugins/README.md.")
