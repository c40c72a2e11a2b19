/** Who may do what. */
import { z } from 'zod'
import { scopeProblem } from '../scopes.ts'
import { secretFile } from './common.ts'

const scopes = z
  .array(
    z.string().superRefine((scope, context) => {
      const problem = scopeProblem(scope)
      if (problem !== undefined) context.addIssue(problem)
    }),
  )
  .max(200)
  .default([])

export const role = z.strictObject({
  description: z.string().optional().describe('What it is for, for people.'),
  like: z
    .enum(['user', 'admin', 'support', 'local-contact'])
    .optional()
    .describe('Takes over the scopes of this role, which every hub has.'),
  scopes: scopes.describe('What it allows, as in JupyterHub: read:users, servers!group=optics.'),
  of: z
    .array(z.string())
    .default([])
    .describe('Narrows every scope to the members of these groups: the users of an instrument, say. Empty: everybody.'),
  users: z.array(z.string()).default([]).describe('Users who have it.'),
  groups: z.array(z.string()).default([]).describe('Groups whose members have it.'),
  services: z.array(z.string()).default([]).describe('Services that have it.'),
})

export const roleName = z
  .string()
  .regex(/^[a-z][a-z0-9_~.-]{1,253}[a-z0-9]$/, 'must be lowercase letters, digits and _~.-, a letter first')

export const group = z.strictObject({
  users: z
    .array(z.string())
    .default([])
    .describe('Names of users. Those whom a login provider puts there come beside.'),
})

export const service = z.strictObject({
  apiTokenFile: secretFile.describe(
    'Path of a file (chmod 600) that holds its API token and nothing else: at least 32 characters, as `openssl rand -hex 32` makes them.',
  ),
  url: z
    .url()
    .optional()
    .describe(
      'Where it listens, such as http://127.0.0.1:8800: the proxy leads /services/NAME/ there. Absent: it has no pages.',
    ),
  display: z.boolean().default(true).describe('Whether lists for people show it.'),
  info: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('Whatever its readers should know; the hub makes nothing of it.'),
  admin: z.boolean().default(false).describe('Whether it may do everything.'),
  roles: z.array(z.string()).default([]).describe('Roles that it has.'),
  scopes: scopes.describe('What it may do besides its roles.'),
  redirectUri: z
    .string()
    .optional()
    .describe('Where its login by OAuth leads back to. Absent: /services/NAME/oauth_callback.'),
  clientScopes: scopes.describe(
    "What its users' tokens may do there, besides entering it. Empty: they say who somebody is.",
  ),
})
