/** Each row: a configuration with a mistake, and the one line that it must give. */
import test from 'ava'
import { mistakes } from '../support/configuration.ts'

const project = new URL('../..', import.meta.url).pathname.replace(/\/$/, '')
const base = `
flavours: { small: { title: Small, cpu: 1, memory: 1GiB } }
spawners: { here: { type: local } }
profiles: { lab: { title: Lab, kind: notebook, flavours: [small], on: { here: {} } } }
`

const mount = (fields: string): string => `${base}mounts: [{ name: raw, ${fields} }]`
const proposalMount = 'target: "/data/{proposal}", allowedRoots: [/facility]'

const ldap = (fields: string): string => `${base}accounts: { source: ldap, people: "ou=people,dc=x", ${fields} }`
const claimed = (provider: string): string => `${base}accounts: { source: claims, provider: sso }
login: { providers: { ${provider}: { title: X, issuer: "https://x.org", clientId: x, proves: identity } } }`

const form = `{ type: plugin, title: Site, plugin: { package: "${project}/config/plugins/login-file", options: { path: /x } } }`
const webhook = `{ package: "${project}/config/plugins/notifier-webhook", options: { url: "https://x.org" } }`
const accountsPlugin = (name: string, options: string): string =>
  `${base}accounts: { source: plugin, plugin: { package: "${name.replace('./', `${project}/`)}", options: ${options} } }`

const rows: readonly (readonly [title: string, text: string, expected: RegExp])[] = [
  [
    'homes, and no program',
    `${base}homeStorage: { from: command }`,
    /homeStorage\.command: is missing; write the program/,
  ],
  [
    'a program for nothing',
    `${base}homeStorage: { command: [du] }`,
    /homeStorage\.command: is for `from: command` alone$/,
  ],
  [
    'a rescue that is not there',
    `${base}homeStorage: { rescue: lob }`,
    /rescue: there is no profile "lob"; did you mean lab/,
  ],
  [
    'a capacity without memory',
    base.replace('type: local', 'type: local, capacity: { cpu: 4 }'),
    /spawners\.here\.capacity\.memory: is missing/,
  ],
  ['an unknown key', `${base}hubs: {}`, /^hutch\.yaml:5:1 {2}hubs: there is no such field; did you mean hub\?$/],
  [
    'an unknown key deep down',
    `${base}hub: { titel: x }`,
    /:5:8 {2}hub\.titel: there is no such field; did you mean title\?$/,
  ],
  [
    'a missing field',
    `${base}login: { providers: { x: { title: X, issuer: "https://x.org" } } }`,
    /clientId: is missing; /,
  ],
  ['an empty field', `${base}hub:\n`, /:5:1 {2}hub: is empty; write a value or take the line out$/],
  ['a wrong type', `${base}hub: { title: [1] }`, /:5:15 {2}hub\.title: must be text, not a list; /],
  [
    'an unknown choice',
    `${base}database: { type: postgres }`,
    /database\.type: must be sqlite or postgresql; did you mean postgresql\?$/,
  ],
  ['an unknown choice of an enum', `${base}log: { level: trce }`, /log\.level: must be debug, info, warn or error$/],
  ['no unit', base.replace('1GiB', '4'), /flavours\.small\.memory: is not an amount with a unit/],
  ['a wrong unit', base.replace('1GiB', '4 gigs'), /flavours\.small\.memory: is not an amount with a unit/],
  ['an amount beyond all numbers', base.replace('1GiB', `${'9'.repeat(400)}GiB`), /memory: is not an amount/],
  ['a length of time without unit', `${base}login: { idle: 30 }`, /login\.idle: is not a length of time with a unit/],
  ['an address without port', `${base}listen: localhost`, /:5:9 {2}listen: is not an address with a port/],
  ['a name with capitals', base.replaceAll('small', 'Small'), /flavours\.Small: this name must be lowercase/],
  ['a number out of range', `${base}proxy: { workers: 0 }`, /proxy\.workers: must be at least 1; /],
  ['no cores', base.replace('cpu: 1', 'cpu: 0'), /flavours\.small\.cpu: must be more than 0/],
  ['no flavours', base.replace('[small]', '[]'), /profiles\.lab\.flavours: must not be empty/],
  [
    'an unknown flavour',
    base.replace('[small]', '[small, smal]'),
    /lab\.flavours\[1\]: there is no flavour "smal"; did you mean small\?$/,
  ],
  [
    'an unknown spawner',
    base.replace('on: { here', 'on: { her'),
    /profiles\.lab\.on\.her: there is no spawner "her"; did you mean here\?$/,
  ],
  [
    'an offer of what there is not',
    `${base}offers: [{ title: X, when: { groups: [a] }, first: { profiles: [lb] } }]`,
    /offers\[0\]\.first\.profiles\[0\]: there is no profile "lb"; did you mean lab\?$/,
  ],
  [
    'an offer for everybody',
    `${base}offers: [{ title: X, when: { around: 1h }, first: { profiles: [lab] } }]`,
    /offers\[0\]\.when: has no condition/,
  ],
  [
    'an offer of nothing',
    `${base}offers: [{ title: X, when: { visit: [during] } }]`,
    /offers\[0\]: does nothing; say what it opens/,
  ],
  [
    'a dataset’s folder where there is none',
    mount("source: '{folder}', target: '/data/{proposal}', allowedRoots: [/data]"),
    /mounts\[0\]\.source: \{folder\} is unknown here: the rule is for: proposal; write for: dataset$/,
  ],
  [
    'a folder for a target',
    mount("for: dataset, source: '{folder}', target: '/data/{folder}', allowedRoots: [/data]"),
    /mounts\[0\]\.target: must not contain \{folder\}/,
  ],
  [
    'two datasets over each other',
    mount("for: dataset, source: '{folder}', target: '/data/{proposal}', allowedRoots: [/data]"),
    /mounts\[0\]\.target: must contain \{dataset\} or \{datasetId\}/,
  ],
  [
    'Kerberos without a server',
    mount('source: "/data/{proposal}", target: "/data/{proposal}", allowedRoots: [/data], security: krb5'),
    /mounts\[0\]\.security: is of exports; write server:\/path/,
  ],
  [
    'an archive that restores anywhere',
    `${base}archive: { roots: [/] }`,
    /archive\.roots\[0\]: would allow everything/,
  ],
  [
    'an archive whose datasets lie over each other',
    `${base}archive: { roots: [/restored], target: '/restored/{proposal}' }`,
    /archive\.target: must contain \{dataset\} or \{datasetId\}/,
  ],
  [
    'an archive that anybody between could be',
    `${base}archive: { roots: [/restored], hook: { url: 'http://archive.example.org' } }`,
    /archive\.hook\.url: must begin with https/,
  ],
  [
    'ICAT that nobody asks',
    `${base}catalogue: { type: icat, url: https://icat.example.org/icat }`,
    /catalogue\.reader: is missing; say who asks/,
  ],
  ['no spawner', base.replace('on: { here: {} }', 'on: {}'), /profiles\.lab\.on: names no spawner/],
  ['a web application without command', base.replace('notebook', 'web'), /profiles\.lab\.argv: is missing; /],
  [
    'an unknown spawner type',
    base.replace('type: local', 'type: lcal'),
    /spawners\.here\.type: there is no spawner type lcal$/,
  ],
  [
    "a spawner's own unknown field",
    base.replace('type: local', 'type: local, sandbx: auto'),
    /:3:34 {2}spawners\.here\.sandbx: there is no such field; did you mean sandbox\?$/,
  ],
  [
    "a spawner's own unit",
    base.replace('type: local', 'type: local, scratch: 3'),
    /spawners\.here\.scratch: is not an amount/,
  ],
  [
    "a profile's part for its spawner",
    base.replace('here: {} }', 'here: { nice: 20 } }'),
    /profiles\.lab\.on\.here\.nice: must be at most 19; politeness$/,
  ],
  [
    'the demo beyond loopback',
    `${base}listen: 0.0.0.0:80\npublicUrl: https://x.org\nlogin: { demo: true }\naccounts: { source: system }`,
    /login\.demo: is refused beyond loopback/,
  ],
  [
    'the demo published',
    `${base}publicUrl: https://x.org\nlogin: { demo: true }\naccounts: { source: system }`,
    /login\.demo: is refused beyond loopback/,
  ],
  [
    'the accounts of the demo beyond loopback',
    `${base}listen: 0.0.0.0:80\npublicUrl: https://x.org\naccounts: { source: demo }`,
    /accounts\.source: is demo: beyond loopback/,
  ],
  [
    'the account self beyond loopback',
    `${base}listen: 10.0.0.1:80\npublicUrl: https://x.org`,
    /accounts\.source: is self: beyond loopback/,
  ],
  [
    'no sandbox beyond loopback',
    `${base.replace('type: local', 'type: local, allowUnsandboxed: true')}publicUrl: https://x.org\naccounts: { source: system }`,
    /spawners\.here\.allowUnsandboxed: is refused beyond loopback/,
  ],
  ['no public address', `${base}listen: "[::]:80"\naccounts: { source: system }`, /publicUrl: is missing; /],
  ['a public address with a path', `${base}publicUrl: http://localhost/hutch`, /publicUrl: has a path; /],
  ['a public address of another kind', `${base}publicUrl: ftp://localhost`, /publicUrl: must begin with https/],
  ['a public address with a password', `${base}publicUrl: http://a:b@localhost`, /publicUrl: holds a user or password/],
  ['no URL', `${base}publicUrl: hutch`, /publicUrl: is not a URL/],
  ['hosts without user', `${base}environments: { hosts: envs.example.org }`, /environments\.hosts: must be \{user\}\./],
  [
    "hosts that the hub's own is one of",
    `${base}publicUrl: http://hub.x.localhost\nenvironments: { hosts: "{user}.x.localhost" }`,
    /environments\.hosts: a user could be called as the hub's own host/,
  ],
  [
    'an issuer without TLS',
    `${base}login: { providers: { x: { title: X, issuer: "http://x.org", clientId: a } } }`,
    /issuer: must begin with https/,
  ],
  [
    'scopes without openid',
    `${base}login: { providers: { x: { title: X, issuer: "https://x.org", clientId: a, scopes: [email] } } }`,
    /scopes: lacks openid/,
  ],
  ['idle longer than lifetime', `${base}login: { idle: 8d }`, /login\.idle: is longer than login\.lifetime/],
  [
    'no range',
    `${base}proxy: { trustedProxies: [10.0.0.0/33] }`,
    /proxy\.trustedProxies\[0\]: is not an address or a range/,
  ],
  [
    'an unknown placeholder',
    mount(`source: "/facility/{propsal}", ${proposalMount}`),
    /mounts\[0\]\.source: there is no placeholder "propsal"; did you mean proposal\?$/,
  ],
  [
    'a single brace',
    mount(`source: "/facility/{proposal", ${proposalMount}`),
    /mounts\[0\]\.source: has a single brace/,
  ],
  [
    'a proposal in a rule for users',
    mount(`for: user, source: "/facility/{proposal}", target: /data, allowedRoots: [/facility]`),
    /source: \{proposal\} is unknown here/,
  ],
  [
    'a source outside its roots',
    mount(`source: "/other/{proposal}", ${proposalMount}`),
    /mounts\[0\]\.source: lies beneath none of allowedRoots/,
  ],
  [
    'a source beside its root',
    mount(`source: "/facility2/{proposal}", ${proposalMount}`),
    /source: lies beneath none of allowedRoots/,
  ],
  [
    'a source on another server',
    mount(`source: "nas:/facility/{proposal}", ${proposalMount}`),
    /source: lies beneath none of allowedRoots/,
  ],
  [
    'a source that climbs',
    mount(`source: "/facility/../{proposal}", ${proposalMount}`),
    /source: must not contain \. or \.\./,
  ],
  [
    'a relative target',
    mount(`source: "/facility/{proposal}", target: "data/{proposal}", allowedRoots: [/facility]`),
    /target: must be an absolute path/,
  ],
  [
    'a target that is the same for all',
    mount(`source: "/facility/{proposal}", target: /data, allowedRoots: [/facility]`),
    /target: must contain \{proposal\}/,
  ],
  [
    'everything allowed',
    mount(`source: "/facility/{proposal}", target: "/data/{proposal}", allowedRoots: [/]`),
    /allowedRoots\[0\]: would allow everything/,
  ],
  [
    'a secret that is nowhere',
    `${base}database: { type: postgresql, passwordFile: hunter2 }`,
    /database\.passwordFile: there is no such file; (?!.*hunter2)/,
  ],
  [
    'a limit of groups without a group',
    mount(`source: "/facility/{proposal}", ${proposalMount}, mostGroups: 16`),
    /mounts\[0\]\.group: is missing; mostGroups needs it/,
  ],
  ['a directory by HTTP', ldap('servers: ["https://x.org"]'), /accounts\.servers\[0\]: must be ldaps:\/\/host/],
  ['a directory without a server', ldap('servers: []'), /accounts\.servers: /],
  [
    'a directory in clear text',
    ldap('servers: ["ldaps://a.org", "ldap://b.org"], startTls: false'),
    /accounts\.servers\[1\]: is not encrypted/,
  ],
  ['a directory with a path', ldap('servers: ["ldaps://a.org/dc=x"]'), /servers\[0\]: must be ldaps:\/\/host/],
  ['a directory with a password', ldap('servers: ["ldaps://me:pw@a.org"]'), /\[0\]: must be ldaps:\/\/host(?!.*pw)/],
  ['a bind DN alone', ldap('servers: ["ldaps://a.org"], bindDn: "cn=x"'), /accounts\.passwordFile: is missing/],
  [
    'authorities that are nowhere',
    ldap('servers: ["ldaps://a.org"], caFile: no.pem'),
    /accounts\.caFile: there is no such file/,
  ],
  [
    'an attribute that is a filter',
    ldap('servers: ["ldaps://a.org"], attributes: { name: "uid)(x" }'),
    /attributes\.name: must be letters, digits and hyphens/,
  ],
  [
    'accounts of a provider that is not there',
    claimed('ssp'),
    /accounts\.provider: there is no provider "sso"; did you mean/,
  ],
  ['accounts of a provider where anybody registers', claimed('sso'), /accounts\.provider: names sso, which proves an/],
  [
    'a form of a directory that is nowhere',
    `${base}login: { passwords: { site: { type: ldap, title: Site } } }`,
    /login\.passwords\.site\.directory: is missing; without it the directory is that of accounts/,
  ],
  [
    'a form of a directory in clear text',
    `${base}login: { passwords: { site: { type: ldap, title: Site, directory: { servers: ["ldap://ldap.example.org"], startTls: false, people: "dc=x" } } } }`,
    /login\.passwords\.site\.directory\.servers\[0\]: is not encrypted/,
  ],
  [
    'a form with the name of a provider',
    `${base}login: { providers: { site: { title: X, issuer: "https://x.org", clientId: x, proves: account } }, passwords: { site: ${form} } }`,
    /login\.passwords\.site: is the name of a provider already/,
  ],
  [
    'a provider beside a form that does not say what it proves',
    `${base}login: { providers: { x: { title: X, issuer: "https://x.org", clientId: x } }, passwords: { site: ${form} } }`,
    /login\.providers\.x\.proves: is missing/,
  ],
  [
    'messages in two ways',
    `${base}mail: { host: x, from: a@x.org }\nnotify: { plugin: ${webhook} }`,
    /notify: stands beside mail; messages go one way/,
  ],
  [
    'a plug-in of the wrong kind for a form',
    `${base}login: { passwords: { site: { type: plugin, title: Site, plugin: { package: "${project}/config/plugins/accounts-json" } } } }`,
    /login\.passwords\.site\.plugin\.package: it is a plug-in for accounts, and one for authenticator is needed/,
  ],
  [
    'an option of a matching plug-in',
    `${base}login: { matching: { plugin: { package: "${project}/config/plugins/matching-file", options: { paht: x } } } }`,
    /login\.matching\.plugin\.options\.path: is missing/,
  ],
  [
    'a plug-in that is nowhere',
    accountsPlugin('./nowhere.js', '{}'),
    /accounts\.plugin\.package: there is no such module; write its path \(\.\/ours\.js\), or install/,
  ],
  [
    'a plug-in that can not be loaded',
    accountsPlugin('./tests/support/plugins/broken.js', '{}'),
    /accounts\.plugin\.package: the plug-in can't be loaded: it broke/,
  ],
  [
    'a module that is no plug-in',
    accountsPlugin('./bin/program.js', '{}'),
    /accounts\.plugin\.package: the module exports no plug-in as default/,
  ],
  [
    'a plug-in for something else',
    accountsPlugin('./tests/support/plugins/other.js', '{}'),
    /accounts\.plugin\.package: it is a plug-in for weather, and one for accounts is needed here/,
  ],
  [
    "a wrong option of a plug-in's own",
    accountsPlugin('./config/plugins/accounts-json', '{ path: here.json }'),
    /^hutch\.yaml:5:\d+ {2}accounts\.plugin\.options\.path: must be an absolute path$/,
  ],
  [
    'an unknown option of a plug-in',
    accountsPlugin('./config/plugins/accounts-json', '{ path: /x, paht: /x }'),
    /accounts\.plugin\.options\.paht: there is no such field; did you mean path\?/,
  ],
  [
    'a missing option of a plug-in',
    accountsPlugin('./config/plugins/accounts-json', '{}'),
    /accounts\.plugin\.options\.path: is missing; the file/,
  ],
  [
    'a catalogue that is nowhere',
    `${base}catalogue: { type: file, path: nowhere.yaml }`,
    /catalogue\.path: there is no such file/,
  ],
  [
    'a catalogue without TLS',
    `${base}catalogue: { type: http, url: "http://proposals.example.org" }`,
    /catalogue\.url: must begin with https:\/\//,
  ],
  [
    'a catalogue with a password in its address',
    `${base}catalogue: { type: http, url: "https://hub:hunter2@proposals.example.org" }`,
    /catalogue\.url: must be an address alone: no account(?!.*hunter2)/,
  ],
  [
    'a catalogue whose secret is nowhere',
    `${base}catalogue: { type: http, url: "https://proposals.example.org", tokenFile: hunter2 }`,
    /catalogue\.tokenFile: there is no such file; (?!.*hunter2)/,
  ],
  [
    "a name in ICAT that is everybody's",
    `${base}catalogue: { type: icat, url: "https://icat.example.org/icat", user: "db/root", reader: { username: a, passwordFile: b } }`,
    /catalogue\.user: must be \{user\} with letters/,
  ],
  [
    "groups of the hub's own account for everybody",
    `${base}catalogue: { type: scicat, url: "https://scicat.example.org/api/v3", reader: { username: a, passwordFile: b } }`,
    /catalogue\.groups: names account, but with accounts\.source self everybody has the groups of the hub; use login/,
  ],
  ['a key twice', 'hub: {}\nhub: {}\n', /^hutch\.yaml:2:1 {2}this key stands here twice; keep one$/],
  ['a key twice in JSON', '{"hub": {}, "hub": {}}', /:1:13 {2}this key stands here twice/],
  ['no YAML', 'hub: [', /^hutch\.yaml:1:\d+ {2}is not YAML/],
  ['a tab', 'hub:\n\ttitle: x\n', /^hutch\.yaml:2:\d+ {2}indents with a tab/],
  ['two documents', 'hub: {}\n---\nhub: {}\n', /a second document begins here/],
  ['nothing', '', /^hutch\.yaml {2}is empty; /],
  ['a list', '- 1', /hutch\.yaml:1:1 {2}must be a section with fields of its own, not a list/],
  ['too much', `#${'x'.repeat(2 ** 20)}`, /is larger than 1048576 bytes/],
  ['a bomb of anchors', bomb(), /repeats too much through aliases/],
  ['endless brackets', '['.repeat(100_000), /hutch\.yaml/],
  [
    'control characters in a key',
    `${base}"a\\u001b[31m\\u202e": 1`,
    /^hutch\.yaml:5:1 {2}\["a\\u001b\[31m\?"\]: there is no such field/,
  ],
]

for (const [title, text, expected] of rows) {
  test(title, async (t) => {
    const found = await mistakes(text, { folder: '/nowhere' })
    t.true(
      found.some((line) => expected.test(line)),
      `${expected} is not among\n${found.join('\n')}`,
    )
    for (const line of found) t.notRegex(line, /\n|hunter2/)
  })
}

test('the base of the rows has no mistake, so that each row shows its own', async (t) => {
  t.deepEqual(await mistakes(base), [])
})

test('every mistake at once, in the order of the file', async (t) => {
  const text = `hub: { ix: 1 }
listen: x
flavours: { small: { title: S, cpu: -1, memory: 3 } }
spawners: { here: { type: local, oops: 1 } }
profiles:
  a: { title: A, kind: notebok, flavours: [smoll], on: { here: { nice: x } } }
`
  const found = await mistakes(text)
  t.deepEqual(
    found.map((line) => line.replace(/^hutch\.yaml:(\d+):\d+ {2}([^:]+):.*$/, '$1 $2')),
    [
      '1 hub.ix',
      '2 listen',
      '3 flavours.small.cpu',
      '3 flavours.small.memory',
      '4 spawners.here.oops',
      '6 profiles.a.kind',
      '6 profiles.a.flavours[0]',
      '6 profiles.a.on.here.nice',
    ],
  )
})

function bomb(): string {
  const lines = ['a: &a0 [x, x, x, x, x, x, x, x, x, x]']
  for (let level = 1; level < 10; level += 1) {
    lines.push(`b${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(', ')}]`)
  }
  return lines.join('\n')
}
