/** Where POSIX accounts come from, and how full homes are. */
import { z } from 'zod'
import { duration } from '../units.ts'
import { name, plugin } from './common.ts'
import { ldapAccounts } from './ldap.ts'

const account = z.strictObject({
  uid: z
    .int()
    .min(1)
    .max(2 ** 32 - 2)
    .describe('The numeric user id, never 0.'),
  gid: z
    .int()
    .min(1)
    .max(2 ** 32 - 2)
    .describe('The numeric id of the primary group.'),
  groups: z
    .array(
      z.strictObject({
        name: z.string().describe("The group's name, for people."),
        gid: z
          .int()
          .min(1)
          .max(2 ** 32 - 2)
          .describe("The group's numeric id: this decides."),
      }),
    )
    .default([])
    .describe('Supplementary groups; the primary one is not repeated.'),
  home: z.string().startsWith('/', 'must be an absolute path').describe('The home directory, an absolute path.'),
  shell: z.string().default('/bin/bash').describe('The login shell; the terminal starts it.'),
  fullName: z.string().optional().describe('For the GECOS field. Absent: empty.'),
})

const claim = z.string().min(1)

export const claimedAccounts = z
  .strictObject({
    source: z.literal('claims').describe('The login provider.'),
    provider: name.describe('Which of login.providers; its people are the accounts (proves: account).'),
    claims: z
      .strictObject({
        uid: claim.default('uidNumber').describe('The numeric user id.'),
        gid: claim.default('gidNumber').describe('The numeric id of the primary group.'),
        groups: claim
          .optional()
          .describe('Supplementary groups: a list of name:gid, or of objects with name and gid. Absent: none.'),
        home: claim.default('homeDirectory').describe('The home directory.'),
        shell: claim.default('loginShell').describe('The login shell.'),
      })
      .describe('Which claim carries what. Numbers may be text.')
      .prefault({}),
    home: z
      .string()
      .startsWith('/', 'must be an absolute path')
      .default('/home/{user}')
      .describe('The home of those without the claim; {user} is their name.'),
    shell: z.string().default('/bin/bash').describe('The login shell of those without the claim.'),
  })
  .describe(
    'What the login provider says of a person, as it said it last (at a login, or when the login was refreshed).',
  )

export const accounts = z
  .discriminatedUnion('source', [
    z
      .strictObject({ source: z.literal('self').describe("The hub's own account.") })
      .describe(
        "Everybody is the hub's own account, each with a home of their own under the state folder. For one machine without root.",
      ),
    z
      .strictObject({ source: z.literal('demo').describe('Accounts for trying Hutch out.') })
      .describe(
        'As self. Where the hub runs as root, each user gets a uid and a gid of their own (61000 to 61799) that nobody on the machine has, and each demo proposal a group (61800 to 61999). Refused beyond loopback.',
      ),
    z
      .strictObject({ source: z.literal('system').describe('The name service of the machine.') })
      .describe("The system's own name service (getent)."),
    z
      .strictObject({
        source: z.literal('file').describe('This file.'),
        users: z.record(z.string(), account).describe("Accounts by the user's name in the hub."),
      })
      .describe('Written here.'),
    ldapAccounts,
    claimedAccounts,
    z
      .strictObject({ source: z.literal('plugin').describe("A plug-in of the site's own."), plugin })
      .describe('Asked of a plug-in; its answers pass the same rules.'),
  ])
  .describe('Where the POSIX account (uid, gid, groups, home) of a user comes from.')
  .prefault({ source: 'self' })

export const homeStorage = z
  .strictObject({
    from: z
      .enum(['nothing', 'quota', 'command'])
      .default('nothing')
      .describe(
        "quota: the program of that name (rquota, for NFS), which tells of others to root alone. command: one of the facility's own. nothing: nobody looks.",
      ),
    command: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        'With `from: command`: what is run, with {user}, {uid} and {home} replaced. It prints one line of JSON such as {"usedBytes": 1024, "limitBytes": 4096}; without limitBytes the limit of the hub counts.',
      ),
    every: duration.prefault('5min').describe('An answer is good for this long.'),
    warnAt: z.number().min(0.1).max(1).default(0.95).describe('From which share of the limit on the pages warn.'),
    rescue: name
      .optional()
      .describe(
        'The profile (of kind terminal) that is offered to people whose home is full: there HOME is a temporary folder, with the real home beside it. Absent: the first terminal that is offered to them.',
      ),
  })
  .describe('How full homes are: shown to their owners, and a way out when one is full.')
  .prefault({})
