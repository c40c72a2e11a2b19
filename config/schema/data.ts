/** Which directories an environment sees. */
import { z } from 'zod'
import { duration } from '../units.ts'
import { catalogueUrl } from './catalogue.ts'
import { plugin, secretFile } from './common.ts'

export const mountRule = z.strictObject({
  name: z.string().describe("What users are told when it fails, such as 'raw data'."),
  source: z
    .string()
    .describe(
      'Host path or server:/path; placeholders {proposal}, {instrument}, {session}, {year}, {user}; with for: dataset also {dataset} (its name), {datasetId}, and {folder}, the whole path that the catalogue says.',
    ),
  target: z.string().describe('The path in the environment; the same placeholders, without {folder}.'),
  allowedRoots: z
    .array(z.string())
    .min(1)
    .describe('The source must lie beneath one of these after placeholders are filled in.'),
  readOnly: z.boolean().default(true).describe('Whether the environment may only read there.'),
  security: z
    .enum(['sys', 'krb5'])
    .default('sys')
    .describe(
      "Of an export (server:/path). sys: the client says who asks. krb5: the server wants the user's Kerberos ticket, which `credentials` supplies, or the machines of a spawner with `kerberos: site`; without either, launches are refused, saying so.",
    ),
  for: z
    .enum(['proposal', 'dataset', 'user'])
    .default('proposal')
    .describe(
      'Once for each chosen proposal, for each dataset that was chosen by itself, or once for each environment.',
    ),
  wholeOnly: z
    .boolean()
    .default(false)
    .describe(
      'With for: proposal: not for proposals of which single datasets are chosen; rules with for: dataset are there for those.',
    ),
  mostGroups: z
    .int()
    .min(1)
    .max(65_536)
    .optional()
    .describe(
      "Most supplementary groups of a user that the file server takes: 16 for NFS with sec=sys that doesn't look groups up itself. Environments then carry no more, those of `group` first, and their users are told. Jobs whose nodes look groups up are not held back by it. Absent: no limit.",
    ),
  group: z
    .string()
    .optional()
    .describe('The name of the group that these data belong to, such as p{proposal}; the same placeholders.'),
})

export const credentials = z
  .strictObject({ plugin })
  .optional()
  .describe(
    "Kerberos tickets of accounts, for mounts with security: krb5: had at the launch, seen inside by KRB5CCNAME, renewed when half of their time is over. Absent: such launches are refused, but on spawners whose machines have users' tickets by themselves (`kerberos: site`).",
  )

export const archive = z
  .strictObject({
    hook: z
      .strictObject({
        url: catalogueUrl.describe('Its address; see config/archive-api.md.'),
        tokenFile: secretFile
          .optional()
          .describe(
            'Path of a file (chmod 600) that holds the token which the hub sends as bearer. Absent: it sends none.',
          ),
        timeout: duration.prefault('5s').describe('How long it may take to answer, with up to two repetitions.'),
      })
      .optional()
      .describe("The facility's service that brings archived data back. Absent: people are told whom to ask."),
    roots: z
      .array(z.string())
      .min(1)
      .describe('Restored data lie in folders beneath one of these (host paths or server:/path); no other is mounted.'),
    picks: z
      .boolean()
      .default(false)
      .describe(
        'Whether people may say themselves which folder beneath the roots their data were restored to. Links are refused where it is mounted; what they can read there stays what their account may.',
      ),
    target: z
      .string()
      .default('/restored/{proposal}/{dataset}')
      .describe('Where the environment sees them; placeholders as in mounts with for: dataset.'),
    readOnly: z.boolean().default(true).describe('Whether the environment may only read there.'),
  })
  .optional()
  .describe('Datasets that lie in an archive, and how they come back. Absent: they can not be launched with.')
