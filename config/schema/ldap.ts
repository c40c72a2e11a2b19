/** A directory that speaks LDAP, as it is asked for accounts and for logins. */
import { z } from 'zod'
import { duration } from '../units.ts'
import { secretFile } from './common.ts'

export const attribute = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, 'must be letters, digits and hyphens, a letter first')

/** A directory that speaks LDAP: where it is, who asks, and what it calls things. */
export const directory = {
  servers: z
    .array(
      z
        .string()
        .regex(
          /^ldaps?:\/\/[^/?#@\s]+\/?$/,
          'must be ldaps://host or ldap://host, with a port where it is another; the rest has fields of its own',
        )
        .refine((text) => URL.canParse(text), 'is not an address'),
    )
    .min(1)
    .max(8)
    .describe('Addresses such as ldaps://ldap1.example.org, tried in this order; those that failed just now last.'),
  startTls: z
    .boolean()
    .default(true)
    .describe('Whether ldap:// is encrypted by StartTLS. False is refused beyond loopback.'),
  caFile: z
    .string()
    .min(1)
    .optional()
    .describe("Certificates (PEM) of the authority that signed the servers'. Absent: those that the system trusts."),
  bindDn: z.string().min(1).optional().describe('As whom the hub asks. Absent: as nobody (anonymous).'),
  passwordFile: secretFile
    .optional()
    .describe('Path of a file (chmod 600) that holds the password of bindDn; read again whenever it is needed.'),
  people: z.string().min(1).describe('The DN beneath which people are found, such as ou=people,dc=example,dc=org.'),
  groups: z.string().min(1).optional().describe('The DN beneath which groups are found. Absent: that of people.'),
  groupMembers: z
    .enum(['rfc2307', 'rfc2307bis'])
    .default('rfc2307')
    .describe('rfc2307: groups name their members (memberUid). rfc2307bis: they hold their DNs (member).'),
  attributes: z
    .strictObject({
      person: attribute.default('posixAccount').describe('The object class of people.'),
      group: attribute.default('posixGroup').describe('The object class of groups.'),
      name: attribute.default('uid').describe("The account's name; must be the user's name in the hub."),
      uid: attribute.default('uidNumber').describe('The numeric user id.'),
      gid: attribute.default('gidNumber').describe("The numeric group id, a person's and a group's."),
      home: attribute.default('homeDirectory').describe('The home directory.'),
      shell: attribute.default('loginShell').describe('The login shell; a person without one has /bin/sh.'),
      fullName: attribute.default('cn').describe('The full name, for the GECOS field.'),
      groupName: attribute.default('cn').describe("A group's name."),
      memberName: attribute.default('memberUid').describe('With rfc2307: the names of its members.'),
      memberDn: attribute.default('member').describe('With rfc2307bis: the DNs of its members.'),
    })
    .describe('What the directory calls them.')
    .prefault({}),
  deadline: duration.prefault('5s').describe('A server that has not answered after this long has failed.'),
}

export const ldapAccounts = z
  .strictObject({
    source: z.literal('ldap').describe('A directory that speaks LDAP.'),
    ...directory,
    fresh: duration
      .prefault('15s')
      .describe('An answer is good for this long; a vanished account can be launched as for as long.'),
    stale: duration
      .prefault('10min')
      .describe(
        'While no server answers, an answer that is older than fresh by this much still counts. 0s: none does.',
      ),
  })
  .describe('In a directory (RFC 2307 or 2307bis). Referrals are not followed, groups within groups not looked into.')
