/**
 * The configuration of a facility, whole. Every field says what it is, its default and its consequence; the
 * reference page and the JSON schema are generated from here. A spawner's own part is checked by its own schema.
 */
import { z } from 'zod'
import { scopeProblem } from './scopes.ts'
import { bytes, duration, listenAddress } from './units.ts'

const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,29}$/, 'must be lowercase letters, digits and hyphens, a letter first, at most 30')

const secretFile = z
  .string()
  .min(1)
  .describe('Path of a file that holds the secret and nothing else (chmod 600), so that this file holds none.')

const plugin = z
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

const hub = z
  .strictObject({
    id: name
      .default('hutch')
      .describe("The hub's own id. Everything in a backend carries it: never change it while environments run."),
    title: z.string().default('Hutch').describe('What the pages call this installation.'),
    contact: z.string().default('your administrator').describe('Whom a user is told to ask: an address or a name.'),
  })
  .describe('What this installation is called.')
  .prefault({})

const listen = listenAddress.describe(
  'Address and port where the proxy listens for browsers. Beyond loopback, publicUrl and a real login provider are needed.',
)

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

const attribute = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, 'must be letters, digits and hyphens, a letter first')

/** A directory that speaks LDAP: where it is, who asks, and what it calls things. */
const directory = {
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

const ldapAccounts = z
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

const ldapLogin = z
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

const login = z
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

const claimedAccounts = z
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

const accounts = z
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

const catalogueUrl = z.url({ protocol: /^https?$/, error: 'is not an address that begins with https://' })

const catalogueTimeout = duration
  .prefault('5s')
  .describe(
    'How long it may take to answer, with up to two repetitions. Then lists are shown from memory with their age, and launches with a proposal are refused.',
  )

const dottedPath = z
  .string()
  .max(200)
  .regex(/^[A-Za-z_]\w*(\.\w+)*$/, 'must be names with dots between them, such as metadata.beamline')

const catalogue = z
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

const mountRule = z.strictObject({
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
      "Of an export (server:/path). sys: the client says who asks. krb5: the server wants the user's Kerberos ticket, which this release can't supply; launches are refused, saying so.",
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

const archive = z
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

const flavour = z.strictObject({
  title: z.string().describe('What the launch page calls it.'),
  cpu: z.number().positive().max(100_000).describe('Cores; fractions are allowed.'),
  memory: bytes.describe(
    'Memory with its unit, such as 4GiB. What takes more is ended: a kernel alone, or the environment with its application.',
  ),
  gpus: z.int().min(0).max(1_000).default(0).describe('Whole GPUs.'),
  gpuType: name
    .optional()
    .describe('What kind of GPU they are; limits can be set for each kind. Absent: not told apart.'),
  walltime: duration.optional().describe('The environment ends after this long. Absent: no limit of its own.'),
  processes: z.int().positive().default(4096).describe('Most processes and threads at once.'),
})

const profile = z.strictObject({
  title: z.string().describe('What the launch page calls it.'),
  description: z.string().default('').describe('One or two sentences for the launch page.'),
  kind: z
    .enum(['notebook', 'terminal', 'desktop', 'web'])
    .describe(
      'notebook: JupyterLab. terminal: a shell in the browser. desktop: XFCE, or the one program of argv, on Xvnc in the browser, with JupyterLab beside it where it is installed. web: argv, any web application.',
    ),
  argv: z
    .array(z.string())
    .optional()
    .describe(
      'The command; absent: the default of its kind, else (on Docker) what the image starts. Placeholders {socket}, {prefix}, {home}, {start}.',
    ),
  port: z
    .int()
    .min(1_024)
    .max(65_535)
    .optional()
    .describe(
      'The application listens on this port of its own loopback: for images that know nothing of Hutch, in containers. Absent: it listens on {socket}.',
    ),
  atRoot: z
    .boolean()
    .default(false)
    .describe(
      'The application believes to be at /: its environment’s address is taken off requests, and put before redirections and cookies. Absolute links in its pages lead astray. Default: it knows {prefix}.',
    ),
  protocol: z
    .enum(['hutch', 'jupyterhub'])
    .default('hutch')
    .describe(
      "hutch: our agent starts the application, and the way to it is encrypted. jupyterhub: there is no agent; the application listens on a port itself, checks who comes and speaks JupyterHub's protocol, as jupyterhub-singleuser does. The way to it is NOT encrypted, so its spawner must allow it.",
    ),
  readyPath: z
    .string()
    .optional()
    .describe("A path below the environment's own that answers once it is ready. Absent: as its kind has it."),
  landingPath: z
    .string()
    .optional()
    .describe("The path below the environment's own that the browser opens first. Absent: as its kind has it."),
  image: z
    .string()
    .optional()
    .describe('The container image, for spawners that use one. Absent: what is installed on the machine.'),
  flavours: z.array(name).min(1).describe('Names from `flavours`, the default first.'),
  on: z
    .record(name, z.unknown())
    .describe('Spawners that offer it, the preferred first, each with its own part (an empty object: all defaults).'),
  variables: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be letters, digits and _, no digit first'), z.string())
    .default({})
    .describe('Environment variables of the application. Never secrets: everything in the environment can read them.'),
  groups: z.array(z.string()).default([]).describe('Offered only to members of one of these; empty: to everyone.'),
  longest: duration
    .optional()
    .describe(
      'How long an environment may live at most when its owner makes its time longer, as often as it takes; each time is a new admission within the limits. Absent: its time can not be made longer.',
    ),
  startTimeout: duration
    .prefault('5min')
    .describe('An environment that is not ready this long after it started running is ended, and says so.'),
})

const spawner = z.looseObject({
  type: z.string().describe('local, docker, kubernetes, slurm, or the module path or package name of your own.'),
  capacity: z
    .strictObject({
      cpu: z.number().positive().max(1_000_000).describe('Cores.'),
      memory: bytes.describe('Memory with its unit, such as 256GiB.'),
    })
    .optional()
    .describe(
      'What its environments may have together. Beyond it they wait in a fair order: who used least lately comes first. Absent: nothing waits here; clusters have queues of their own.',
    ),
})

const scopes = z
  .array(
    z.string().superRefine((scope, context) => {
      const problem = scopeProblem(scope)
      if (problem !== undefined) context.addIssue(problem)
    }),
  )
  .max(200)
  .default([])

const role = z.strictObject({
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

const roleName = z
  .string()
  .regex(/^[a-z][a-z0-9_~.-]{1,253}[a-z0-9]$/, 'must be lowercase letters, digits and _~.-, a letter first')

const group = z.strictObject({
  users: z
    .array(z.string())
    .default([])
    .describe('Names of users. Those whom a login provider puts there come beside.'),
})

const service = z.strictObject({
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

const offerNames = (what: string) =>
  z
    .strictObject({
      profiles: z.array(name).default([]).describe(`Profiles ${what}.`),
      flavours: z.array(name).default([]).describe(`Flavours ${what}, of every profile that has them.`),
      spawners: z.array(name).default([]).describe(`Spawners ${what}: an instrument's own workstation, say.`),
      options: z
        .record(z.string().regex(/^[a-z][A-Za-z0-9]{0,29}$/, 'is not a name of a choice'), z.array(z.string()))
        .default({})
        .describe(`Values ${what} of what a spawner leaves to its users, such as reservation: [beamtime] of slurm.`),
    })
    .prefault({})

const someOf = z.array(z.string().min(1)).min(1)

const offerRule = z.strictObject({
  title: z
    .string()
    .min(1)
    .max(60)
    .describe("What the launch page writes beside the profiles that it puts first, such as 'First for imaging'."),
  when: z
    .strictObject({
      users: someOf.optional().describe('It fits who is one of them.'),
      groups: someOf.optional().describe('It fits who is in one of these groups: those with a licence, say.'),
      instruments: someOf
        .optional()
        .describe("It fits proposals of one of these instruments, by the catalogue's names."),
      techniques: someOf.optional().describe('It fits proposals of one of these techniques, in any case.'),
      fields: z
        .record(z.string(), someOf)
        .optional()
        .describe("It fits proposals whose further fields have one of these values each: { cycle: ['2026/1'] }."),
      visit: z
        .array(z.enum(['before', 'during', 'after']))
        .min(1)
        .optional()
        .describe(
          "It fits proposals whose visit is to come, goes on, or is over, by the catalogue's dates. An end that is a day alone counts to the end of that day.",
        ),
      around: duration.prefault('0s').describe('With visit: how much earlier it begins, and later it ends.'),
    })
    .describe('All of these must hold; those of proposals for one of the chosen ones.'),
  opens: offerNames('that are offered only where a rule that opens them fits').describe(
    'What it offers. Whatever any rule opens is closed to all others.',
  ),
  first: offerNames('that come first').describe(
    'What it puts first: the first is what is chosen unless somebody chooses.',
  ),
})

const database = z
  .discriminatedUnion('type', [
    z
      .strictObject({ type: z.literal('sqlite').describe('Embedded.') })
      .describe('In the state folder. One hub process; never on NFS.'),
    z
      .strictObject({
        type: z.literal('postgresql').describe('A PostgreSQL server, 14 or later.'),
        host: z.string().default('127.0.0.1').describe('Host name, address, or the folder of a unix socket.'),
        port: z.int().min(1).max(65_535).default(5432).describe('Its port, or the number in the name of its socket.'),
        database: z.string().default('hutch').describe('The database, which must be there; the hub makes its tables.'),
        user: z.string().default('hutch').describe('The role that owns the database.'),
        passwordFile: secretFile
          .optional()
          .describe('Path of a file (chmod 600) that holds the password. Absent: none, for peer authentication.'),
        tls: z
          .boolean()
          .default(false)
          .describe('TLS with a verified certificate. Wanted when it is on another machine.'),
        poolSize: z.int().min(1).max(200).default(10).describe('Most connections of this hub at once.'),
      })
      .describe('For production; several hubs may share it.'),
  ])
  .describe('Where users, logins and environments are kept.')
  .prefault({ type: 'sqlite' })

const proxy = z
  .strictObject({
    managed: z
      .boolean()
      .default(true)
      .describe(
        'The hub starts the proxy and keeps it running. False: you run hutch-proxy --config STATE/run/proxy.json, which the hub writes.',
      ),
    control: listenAddress
      .optional()
      .describe(
        'Where a proxy that is not managed answers GET /health and /metrics: not public. Absent: a unix socket in STATE/run.',
      ),
    workers: z
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe('Processes that share the port; one serves hundreds of people.'),
    trustedProxies: z
      .array(z.string())
      .default([])
      .describe('Addresses or CIDR ranges whose X-Forwarded-* headers are believed.'),
    tls: z
      .strictObject({
        certificateFile: z.string().min(1).describe('PEM: the certificate, then those that signed it.'),
        keyFile: z.string().min(1).describe('PEM: the private key; a file that others can not read (chmod 600).'),
      })
      .optional()
      .describe('The proxy speaks TLS itself. Absent: it does not, and something in front of it should.'),
    drain: duration.prefault('30s').describe('How long a stopping proxy waits for downloads and WebSockets.'),
  })
  .describe('The process that browsers talk to.')
  .prefault({})

const agents = z
  .strictObject({
    listen: listenAddress
      .prefault('127.0.0.1:0')
      .describe(
        'Where the hub listens for reports of agents; port 0: a free one, chosen once and kept in the state folder.',
      ),
    advertise: z
      .string()
      .optional()
      .describe('The host name or address that agents use; absent: the listening address.'),
    silentAfter: duration
      .prefault('3min')
      .describe(
        'An agent that was not heard for this long is asked, at most once a second; agents report once a minute.',
      ),
  })
  .describe('How environments report to the hub.')
  .prefault({})

const environments = z
  .strictObject({
    hosts: z
      .string()
      .optional()
      .describe(
        "Host name of a user's environments, with {user}: {user}.envs.example.org. Absent: one single origin, where an environment opens for its owner alone.",
      ),
    outliveHub: z
      .boolean()
      .default(false)
      .describe('Whether environments on this machine go on when the hub is stopped with Ctrl-C or SIGTERM.'),
    staffVisits: duration
      .prefault('1h')
      .describe(
        "Staff who may enter others' environments say why first; after this long they say it again. Their login's end ends it too.",
      ),
    keepEnded: duration.prefault('30d').describe('How long ended environments stay on the home page.'),
    perUser: z.int().min(1).default(10).describe('Most environments that one user may have at once.'),
    entitlement: z
      .strictObject({
        check: duration
          .prefault('15min')
          .describe('How often it is asked whether people may still use what runs for them.'),
        grace: duration
          .prefault('1d')
          .describe(
            'Who left a proposal, or may not use this installation any more, is warned; it is stopped this much later.',
          ),
      })
      .describe('What happens when somebody leaves a proposal while an environment with its data runs.')
      .prefault({}),
  })
  .describe('What holds for all environments.')
  .prefault({})

const homeStorage = z
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

const mail = z
  .strictObject({
    host: z.string().min(1).describe('The mail server.'),
    port: z.int().min(1).max(65_535).default(25).describe('Its port.'),
    tls: z
      .enum(['none', 'starttls', 'always'])
      .default('starttls')
      .describe('always: TLS from the first byte. starttls: it must offer TLS. none: a relay on this machine.'),
    user: z.string().optional().describe('The name to log in with. Absent: without a login.'),
    passwordFile: secretFile.optional(),
    from: z
      .string()
      .regex(/^[^\r\n]+@[^\r\n]+$/, 'must be an address')
      .describe('The sender, an address.'),
    administrators: z.array(z.email()).max(50).default([]).describe('Addresses that are told of requests for more.'),
  })
  .describe('Mails about requests, decisions and ends. Absent: none are sent.')
  .optional()

const notify = z
  .strictObject({
    plugin,
    administrators: z.array(z.string().min(1).max(254)).max(50).default([]).describe('Who is told of requests.'),
  })
  .optional()
  .describe('A plug-in that hands messages on, in place of a mail server: give this or mail. Absent: mail does.')

const log = z
  .strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('The least important lines to keep.'),
    pretty: z.boolean().optional().describe('Lines for people instead of JSON. Absent: when the output is a terminal.'),
  })
  .describe("The hub's own log, on standard error.")
  .prefault({})

const metrics = z
  .strictObject({
    listen: listenAddress
      .optional()
      .describe(
        'Where the hub answers GET /metrics (Prometheus) and /health without a login: not public. Absent: only /hub/metrics, for the scope read:metrics.',
      ),
  })
  .describe('For monitoring.')
  .prefault({})

const conditions = {
  users: z.array(z.string()).min(1).optional().describe('Accounts, by their names here: it fits who is one of them.'),
  groups: z.array(z.string()).min(1).optional().describe('It fits who is in one of these groups.'),
  claims: z
    .record(z.string(), z.array(z.string()).min(1))
    .optional()
    .describe('Claims of the login service, each with the values that fit: a text, or one of a list of texts.'),
  proposals: z
    .union([z.literal('any'), z.array(z.string()).min(1)])
    .optional()
    .describe('It fits members of one of these proposals; any: of any proposal. The catalogue is asked each time.'),
}

const access = z
  .strictObject({
    rules: z
      .array(
        z.strictObject({
          allow: z.boolean().describe('Whether those whom it fits may use this installation.'),
          ...conditions,
          reason: z.string().optional().describe('What those who are refused by it read.'),
        }),
      )
      .max(200)
      .default([])
      .describe('The first that fits decides. A rule fits when all of its conditions do.'),
    otherwise: z
      .enum(['allow', 'refuse'])
      .default('allow')
      .describe('For whom no rule fits. allow: everybody with an account.'),
    reason: z
      .string()
      .default('This installation is not open to you')
      .describe('What those read who are refused without a reason of a rule.'),
  })
  .describe('Who may use this installation. Asked at every login, launch and entry.')
  .prefault({})

const audit = z
  .strictObject({
    keep: duration.prefault('730d').describe('Lines of the audit trail are deleted after this long.'),
    keepRefusals: duration
      .prefault('90d')
      .describe('Failed logins and other refusals are deleted after this long already.'),
    syslog: z
      .strictObject({
        to: z
          .string()
          .regex(
            /^(?:(?:udp|tcp):\/\/(?:[^\s/:@?#]+|\[[\da-f:]+\])(?::\d{1,5})?|unix:\/[^\s?#]+)$/i,
            'must be udp://host:514, tcp://host:601 or unix:/path (a stream socket)',
          )
          .describe(
            'Where each line is sent to as it is written: udp://host:514, tcp://host:601 (octet counting) or unix:/path (a stream socket; /dev/log is none).',
          ),
        facility: z
          .enum(['auth', 'authpriv', 'audit', 'local0', 'local1', 'local2', 'local3'])
          .default('authpriv')
          .describe('The facility of the messages (RFC 5424).'),
        hostname: z.string().max(255).optional().describe("The host that the messages name. Absent: this machine's."),
      })
      .optional()
      .describe('A syslog daemon that is told of every line. Absent: none; hutch audit export has them all.'),
  })
  .describe('The audit trail: who did what to whom, when, from where.')
  .prefault({})

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
