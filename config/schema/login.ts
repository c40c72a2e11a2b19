/** How people log in. */
import { z } from 'zod'
import { duration } from '../units.ts'
import { name, plugin, secretFile } from './common.ts'
import { attribute, directory } from './ldap.ts'

const provider = z.strictObject({
  title: z.string().describe('The text of its button on the login page.'),
  issuer: z.url().describe('The OpenID Connect issuer; everything else is discovered from it.'),
  clientId: z.string().min(1).describe("The hub's client id at this provider."),
  clientSecretFile: secretFile
    .optional()
    .describe('Path of a file (chmod 600) that holds the client secret. Absent: a public client, with PKCE alone.'),
  scopes: z
    .array(z.string())
    .default(['openid', 'profile', 'email'])
    .describe('What the hub asks for at login; openid is always needed.'),
  claims: z
    .strictObject({
      name: z.string().default('preferred_username').describe('The claim that carries the login name.'),
      title: z.string().default('name').describe("The claim that carries the person's full name."),
      email: z.string().default('email').describe('The claim that carries the e-mail address; shown, never trusted.'),
      groups: z.string().default('groups').describe('The claim that carries the groups (an array of strings).'),
      subject: z
        .string()
        .default('sub')
        .describe(
          'The claim by which somebody is known again, such as voperson_id. Never change it: everybody would be a stranger.',
        ),
      legacyHash: z
        .string()
        .optional()
        .describe('The claim that carries the EAAHash of the first UmbrellaID; kept beside the link, never linked by.'),
    })
    .describe('Which claim of the ID token or UserInfo carries what.')
    .prefault({}),
  administrators: z
    .array(z.string())
    .default([])
    .describe('Subjects (claims.subject) from this provider who administer the hub.'),
  proves: z
    .enum(['account', 'identity'])
    .optional()
    .describe(
      "account: the facility's own login; the name that it gives is the account. identity: anyone can register there (UmbrellaID, ORCID); whoever comes is linked to an account first. With one provider absent means account; with several each must say it.",
    ),
  refresh: duration
    .prefault('10min')
    .describe(
      'With a refresh token, groups and the right to be logged in are asked for again this often; invalid_grant ends the login, a provider that is down changes nothing.',
    ),
})

const sharedLogin = {
  title: z.string().describe('The text of its button on the login page.'),
  proves: z
    .enum(['account', 'identity'])
    .default('account')
    .describe(
      "account: the name that it gives is the account's. identity: whoever comes is linked to an account first.",
    ),
  administrators: z.array(z.string()).default([]).describe('Subjects from it who administer the hub.'),
}

export const ldapLogin = z
  .strictObject({
    type: z.literal('ldap').describe('A directory: whoever can bind with their password is in.'),
    ...sharedLogin,
    directory: z
      .strictObject(directory)
      .optional()
      .describe('The directory. Absent: that of accounts, where accounts.source is ldap.'),
    email: attribute.default('mail').describe('The attribute that carries the e-mail address.'),
    subject: attribute
      .optional()
      .describe(
        'The attribute by which somebody is known again, such as entryUUID. Absent: the name, so a name must never be given to another person. Never change it: everybody would be a stranger.',
      ),
  })
  .describe(
    'User name and password, checked by a directory. Groups are those that accounts of the directory have. The password is never kept.',
  )

const pluginLogin = z
  .strictObject({
    type: z.literal('plugin').describe("A plug-in of the site's own."),
    ...sharedLogin,
    plugin,
  })
  .describe("A form of the hub's, checked by a plug-in.")

export const login = z
  .strictObject({
    providers: z
      .record(name, provider)
      .default({})
      .describe('OpenID Connect providers, by a short name of your choice.'),
    passwords: z
      .record(name, z.discriminatedUnion('type', [ldapLogin, pluginLogin]))
      .default({})
      .describe('Logins by a form of the hub, by a short name of your choice that no provider has.'),
    demo: z
      .boolean()
      .default(false)
      .describe('Runs an OpenID Connect provider with three demo people in the hub. Refused beyond loopback.'),
    lifetime: duration.prefault('7d').describe('A login ends this long after it began, whatever happens.'),
    idle: duration.prefault('24h').describe('A login ends after this long without a request.'),
    warn: duration.prefault('10min').describe('The pages offer to renew a login this long before it ends.'),
    matching: z
      .strictObject({ plugin })
      .optional()
      .describe(
        "The facility's own way (the user office's records) to know whose account an identity is that nobody here has: linked at its first login. Absent: people link it themselves, or ask an administrator.",
      ),
    linkRequests: duration
      .prefault('14d')
      .describe('How long a request to link an identity waits for an administrator before it is forgotten.'),
  })
  .describe('How people log in. Without a provider and without demo, nobody can.')
  .prefault({})
