/**
 * The configuration of a facility, whole. Every field says what it is, its default and its consequence; the
 * reference page and the JSON schema are generated from here. A spawner's own part is checked by its own schema.
 */
import { z } from 'zod'
import { accounts, claimedAccounts, homeStorage } from './schema/accounts.ts'
import { catalogue } from './schema/catalogue.ts'
import { name, plugin } from './schema/common.ts'
import { archive, credentials, mountRule } from './schema/data.ts'
import { flavour, offerRule, profile, spawner } from './schema/launch.ts'
import { ldapAccounts } from './schema/ldap.ts'
import { ldapLogin, login } from './schema/login.ts'
import { access, audit, log, mail, metrics, notify } from './schema/operation.ts'
import { agents, database, environments, hub, listen, proxy } from './schema/processes.ts'
import { group, role, roleName, service } from './schema/roles.ts'

export const configurationSchema = z.strictObject({
  hub,
  state: z
    .string()
    .default('.hutch')
    .describe('The one folder that holds all state. Relative to the configuration file.'),
  listen: listen.prefault('127.0.0.1:8000'),
  publicUrl: z
    .url()
    .optional()
    .describe('What browsers see, such as https://hutch.example.org. Absent: http:// and the listening address.'),
  database,
  login,
  accounts,
  catalogue,
  instruments: z
    .record(
      z.string().min(1).max(100),
      z.strictObject({
        users: z.array(z.string()).default([]).describe('Users who see all of its proposals.'),
        groups: z
          .array(z.string())
          .default([])
          .describe("Groups whose members do: of the login provider, and the hub's own."),
      }),
    )
    .default({})
    .describe(
      'Instruments by their names in the catalogue, each with its local contacts and staff: they have the proposals of the instrument beside their own. What of the data they can read stays what their account may.',
    ),
  mounts: z
    .array(mountRule)
    .max(100)
    .default([])
    .describe('Which directories an environment sees: the only way that anything is mounted.'),
  credentials,
  archive,
  flavours: z.record(name, flavour).describe('Sizes of environments, by a short name.'),
  profiles: z.record(name, profile).describe('What users pick on the launch page, by a short name.'),
  offers: z
    .array(offerRule)
    .max(200)
    .default([])
    .describe(
      'Who is offered what, and what first, by who they are and what their proposals are about. Looked at for the launch page and at each launch.',
    ),
  spawners: z.record(name, spawner).describe('Where environments run, by a short name that stays as it is.'),
  environments,
  roles: z
    .record(roleName, role)
    .default({})
    .describe(
      'Who may do what, beside what everybody may (role user) and what administrators may (role admin): support staff, local contacts, services.',
    ),
  groups: z.record(z.string().min(1).max(255), group).default({}).describe('Groups of users, by name.'),
  services: z
    .record(name, service)
    .default({})
    .describe('Programs that use the API with a token of their own, as services of JupyterHub do.'),
  agents,
  homeStorage,
  mail,
  notify,
  proxy,
  access,
  audit,
  log,
  metrics,
})

/**
 * As loaded: units are numbers, defaults are filled in, paths are absolute. A spawner's own parts (`spawners.<name>`
 * without `type`, `profiles.<name>.on.<spawner>`) are the output of its schemas already: never parse them again.
 */
export type LdapAccounts = z.output<typeof ldapAccounts>
export type Directory = Omit<LdapAccounts, 'source' | 'fresh' | 'stale'>
export type LdapLogin = z.output<typeof ldapLogin>
export type ClaimedAccounts = z.output<typeof claimedAccounts>
export type PluginConfiguration = z.output<typeof plugin>
export type Configuration = z.output<typeof configurationSchema>
/** As written in the file. */
export type ConfigurationInput = z.input<typeof configurationSchema>
export type ProfileConfiguration = Configuration['profiles'][string]
export type FlavourConfiguration = Configuration['flavours'][string]
export type OfferRule = Configuration['offers'][number]
export type HomeStorageConfiguration = Configuration['homeStorage']
export type SpawnerConfiguration = Configuration['spawners'][string]
export type MountRule = Configuration['mounts'][number]
export type ProviderConfiguration = Configuration['login']['providers'][string]
