/** Where proposals come from. */
import { z } from 'zod'
import { duration } from '../units.ts'
import { name, plugin, secretFile } from './common.ts'

export const catalogueUrl = z.url({ protocol: /^https?$/, error: 'is not an address that begins with https://' })

const catalogueTimeout = duration
  .prefault('5s')
  .describe(
    'How long it may take to answer, with up to two repetitions. Then lists are shown from memory with their age, and launches with a proposal are refused.',
  )

const dottedPath = z
  .string()
  .max(200)
  .regex(/^[A-Za-z_]\w*(\.\w+)*$/, 'must be names with dots between them, such as metadata.beamline')

export const catalogue = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('none').describe('No catalogue.') }).describe('No proposals are offered.'),
    z
      .strictObject({ type: z.literal('demo').describe('The demo that ships with Hutch.') })
      .describe('Three demo proposals with real measured data.'),
    z
      .strictObject({
        type: z.literal('file').describe('A file.'),
        path: z.string().min(1).describe('A YAML file; see config/examples/catalogue.yaml.'),
      })
      .describe('Proposals and their members, written in a file; read again when it changes.'),
    z
      .strictObject({
        type: z.literal('http').describe('A small service of the facility.'),
        url: catalogueUrl.describe('What stands before /proposals, such as https://proposals.example.org/hutch.'),
        tokenFile: secretFile
          .optional()
          .describe(
            'Path of a file (chmod 600) that holds the token which the hub sends as bearer. Absent: it sends none.',
          ),
        timeout: catalogueTimeout,
      })
      .describe(
        "A service that answers GET /proposals as config/catalogue-api.md says, asked by the user's name in the hub.",
      ),
    z
      .strictObject({
        type: z.literal('scicat').describe('SciCat, 4.5 or later.'),
        url: catalogueUrl.describe('The address of its API, such as https://scicat.example.org/api/v3.'),
        reader: z
          .strictObject({
            username: z.string().min(1).describe('A functional account of SciCat that may read all proposals.'),
            passwordFile: secretFile.describe('Path of a file (chmod 600) that holds its password.'),
          })
          .describe('Who asks, so that nobody logs in twice: only what belongs to a group of the user is asked for.'),
        groups: z
          .array(z.enum(['account', 'login']))
          .min(1)
          .default(['account'])
          .describe(
            "Whose word counts for the groups that are held against ownerGroup and accessGroups. account: those of the POSIX account. login: those that the login provider says, and the hub's own; only where nobody can give themselves a group.",
          ),
        instrument: dottedPath
          .optional()
          .describe(
            'Where a proposal has its instrument, such as metadata.beamline. Absent: of its first measurement period, or the first of instrumentIds.',
          ),
        technique: dottedPath.optional().describe('Where a proposal has its technique. Absent: none is shown.'),
        fields: z
          .record(
            z.string().regex(/^[a-z][A-Za-z0-9_]{0,31}$/, 'must be letters, digits and _, a letter first'),
            dottedPath,
          )
          .default({})
          .describe('Where a proposal has further values, for mount rules (session, year) and limits.'),
        timeout: catalogueTimeout,
      })
      .describe("A SciCat server: a proposal is its members' by its ownerGroup and accessGroups."),
    z
      .strictObject({
        type: z.literal('icat').describe('ICAT, by the REST interface of icat.server 6.'),
        url: catalogueUrl.describe('Its address, such as https://icat.example.org/icat.'),
        reader: z
          .strictObject({
            plugin: z
              .string()
              .regex(/^[\w.-]{1,64}$/, 'must be letters, digits and ._-')
              .default('db')
              .describe('Its authenticator.'),
            username: z
              .string()
              .min(1)
              .describe('An account of ICAT that may read investigations, their users and instruments.'),
            passwordFile: secretFile.describe('Path of a file (chmod 600) that holds its password.'),
          })
          .optional()
          .describe(
            'Who asks, so that nobody logs in twice: only for investigations of the user. May be absent where `own` is there.',
          ),
        own: z
          .strictObject({
            provider: name.describe('Which of login.providers ICAT trusts.'),
            plugin: z
              .string()
              .regex(/^[\w.-]{1,64}$/, 'must be letters, digits and ._-')
              .default('oidc')
              .describe("ICAT's authenticator that takes its ID tokens."),
          })
          .optional()
          .describe(
            "ICAT is asked with the user's own ID token, and its rules say what they see; the name is the one that ICAT gives. Whoever has no login there just now (a script with an API token) is asked for by `reader`.",
          ),
        user: z
          .string()
          .regex(
            /^[A-Za-z0-9._@/-]*\{user\}[A-Za-z0-9._@/-]*$/,
            'must be {user} with letters, digits and ._@/- around it',
          )
          .default('{user}')
          .describe(
            "The user's name in ICAT, with {user} for the one in the hub: ldap/{user} where ICAT names authenticators.",
          ),
        proposalId: z
          .enum(['name', 'id'])
          .default('name')
          .describe(
            "What of an investigation is the proposal's id. id where several visits have one name: name, visit and session are fields of the proposal then as well.",
          ),
        instrumentScientists: z
          .boolean()
          .default(false)
          .describe('Whether scientists of an instrument have the proposals of that instrument as well.'),
        technique: z
          .discriminatedUnion('from', [
            z
              .strictObject({
                from: z.literal('datasets').describe('The techniques of its datasets (ICAT 5 and later).'),
              })
              .describe('Searched, and shown for datasets too.'),
            z
              .strictObject({
                from: z.literal('parameter').describe('A parameter of the investigation with text.'),
                name: z
                  .string()
                  .regex(/^[A-Za-z0-9][A-Za-z0-9 _.:-]{0,63}$/, 'must be letters, digits and _.:- or spaces')
                  .default('technique')
                  .describe('The name of its type.'),
              })
              .describe('For catalogues that keep it so.'),
          ])
          .optional()
          .describe(
            'Where an investigation has its technique, for searches and rules (offers). Several are all shown; a rule fits one of them. Absent: none is known.',
          ),
        timeout: catalogueTimeout,
      })
      .describe("An ICAT server: an investigation is its users'."),
    z
      .strictObject({
        type: z.literal('plugin').describe("A plug-in of the site's own."),
        plugin,
        timeout: catalogueTimeout,
      })
      .describe('Asked of a plug-in; what it answers is read like any other catalogue.'),
  ])
  .describe('Where proposals come from, and who may use which.')
  .prefault({ type: 'none' })
