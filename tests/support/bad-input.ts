/** Requests that nobody should send, by rows: what each is answered with. The world they are sent to has two people. */
import { nonceHash, type Entry, type Ticket } from '../../proxy/ticket.ts'
import type { Question } from './ask.ts'
import type { RunningHutch } from './hutch.ts'
import type { Launched, Scientist } from './scientist.ts'

export interface World {
  readonly hutch: RunningHutch
  readonly ada: Scientist
  readonly own: Launched
  readonly maries: Launched
  readonly mariesLogin: string
  /** An answer of the login service that was good once. */
  readonly usedCallback: { readonly path: string; readonly cookie: string }
  readonly nonce: string
  readonly usedTicket: string
  readonly ticket: (changes?: Partial<Ticket>, key?: Buffer) => string
  readonly entry: (changes?: Partial<Entry>, key?: Buffer) => string
}

export interface Row {
  readonly name: string
  readonly send: (world: World) => Question
  readonly status: number
  readonly says: RegExp
}

const json = { 'content-type': 'application/json' }
const page = { accept: 'text/html', 'sec-fetch-mode': 'navigate' }
const form = { 'content-type': 'application/x-www-form-urlencoded' }
const environments = '/hub/api/v1/environments'
const wrongKey = Buffer.alloc(32, 1)
const upgrade = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
}

/** As ada's own browser sends it from a page of the hub. */
function byAda({ ada, hutch }: World, question: Question): Question {
  const headers = {
    cookie: `hutch-login=${ada.jar.cookie('hutch-login') ?? ''}`,
    origin: hutch.url,
    'sec-fetch-site': 'same-origin',
    ...question.headers,
  }
  return { ...question, headers }
}

const launch =
  (body: object | string): Row['send'] =>
  (world) =>
    byAda(world, {
      method: 'POST',
      path: environments,
      headers: json,
      body:
        typeof body === 'string'
          ? body
          : JSON.stringify({ profile: 'terminal', flavour: 'small', proposals: [], ...body }),
    })
const read =
  (path: string | ((world: World) => string), headers = {}): Row['send'] =>
  (world) =>
    byAda(world, { path: typeof path === 'string' ? path : path(world), headers })
const post =
  (path: (world: World) => string, headers: Record<string, string> = form): Row['send'] =>
  (world) =>
    byAda(world, { method: 'POST', path: path(world), headers, body: '' })
/** At the door of ada's environment, with the nonce that goes with good tickets. */
export const atDoor =
  (ticket: (world: World) => string, headers: (world: World) => Record<string, string> = () => ({})): Row['send'] =>
  (world) => ({
    method: 'POST',
    path: `${pathOf(world.own)}_hutch/enter`,
    headers: { ...form, origin: world.hutch.url, cookie: `hutch-nonce=${world.nonce}`, ...headers(world) },
    body: new URLSearchParams({ ticket: ticket(world), next: pathOf(world.own) }).toString(),
  })
export const inside =
  (
    entry: (world: World) => string,
    headers: Record<string, string> = {},
    where: 'own' | 'maries' = 'own',
  ): Row['send'] =>
  (world) => ({ path: pathOf(world[where]), headers: { cookie: `hutch-entry=${entry(world)}`, ...headers } })

function pathOf({ url }: Launched): string {
  return new URL(url).pathname
}

export const rows: readonly Row[] = [
  // Paths and query strings
  { name: '..', send: read('/hub/../user/ada/'), status: 400, says: /two ways/ },
  { name: '%2e%2e', send: read(({ maries }) => `/user/ada/%2e%2e/marie/${maries.id}/`), status: 400, says: /two ways/ },
  { name: '%2f', send: read(({ own }) => `${pathOf(own)}..%2f..%2fmarie/`), status: 400, says: /two ways/ },
  { name: 'a backslash', send: read('/hub\\..\\hub/home'), status: 400, says: /two ways/ },
  { name: 'NUL in a path', send: read('/hub/home%00'), status: 400, says: /two ways/ },
  { name: 'NUL, encoded twice', send: read(`${environments}/a%2500`), status: 404, says: /home page/ },
  { name: 'an emoji for an id', send: read('/hub/environments/%F0%9F%98%80', page), status: 404, says: /home page/ },
  { name: '100 kB of path', send: read(`/hub/${'x'.repeat(100_000)}`), status: 431, says: /too (?:long|large)|longer/ },
  {
    name: '100 kB of cookie',
    send: read('/hub/home', { cookie: 'x'.repeat(100_000) }),
    status: 431,
    says: /too (?:long|large)|longer/,
  },
  { name: 'NUL in a search', send: read('/hub/home?search=%00'), status: 400, says: /search: must be printable/ },
  { name: 'pages before the first', send: read('/hub/api/v1/proposals?offset=-1'), status: 400, says: /offset: / },
  { name: 'to open elsewhere', send: read('/hub/open?next=//other.example/x', page), status: 404, says: /home page/ },
  // What is sent
  { name: 'a name with NUL', send: launch({ title: 'a\0b' }), status: 400, says: /title: must be printable/ },
  {
    name: 'a name that turns round',
    send: launch({ title: 'a\u202eb' }),
    status: 400,
    says: /title: must be printable/,
  },
  { name: 'a name of 121', send: launch({ title: 'x'.repeat(121) }), status: 400, says: /at most 120/ },
  { name: 'a profile ..', send: launch({ profile: '../hostile' }), status: 400, says: /profile: is not a name/ },
  { name: 'a proposal ..', send: launch({ proposals: ['../20150042'] }), status: 400, says: /not a proposal's number/ },
  { name: "another's proposal", send: launch({ proposals: ['20080121'] }), status: 403, says: /20080121/ },
  { name: 'a field of nobody', send: launch({ uid: 0 }), status: 400, says: /no field "uid"/ },
  { name: 'half a body', send: launch('{"profile":'), status: 400, says: /could not be read/ },
  { name: '100 kB of body', send: launch({ title: 'x'.repeat(100_000) }), status: 413, says: /64 KiB/ },
  // Another person's
  {
    name: "another's environment",
    send: read(({ maries }) => `${environments}/${maries.id}`),
    status: 404,
    says: /of yours/,
  },
  {
    name: 'its events',
    send: read(({ maries }) => `${environments}/${maries.id}/events`),
    status: 404,
    says: /of yours/,
  },
  {
    name: 'its page',
    send: read(({ maries }) => `/hub/environments/${maries.id}`, page),
    status: 404,
    says: /of yours/,
  },
  {
    name: 'its ticket',
    send: read(({ maries, nonce }) => `/hub/enter?environment=${maries.id}&nonce=${nonceHash(nonce)}`),
    status: 404,
    says: /open to you/,
  },
  {
    name: 'to open it',
    send: read(({ maries }) => `/hub/open?next=${pathOf(maries)}`, page),
    status: 403,
    says: /another person/,
  },
  {
    name: 'to stop it',
    send: post(({ maries }) => `${environments}/${maries.id}/stop`),
    status: 404,
    says: /of yours/,
  },
  {
    name: 'to rename it',
    send: post(({ maries }) => `/hub/environments/${maries.id}/rename`),
    status: 404,
    says: /of yours/,
  },
  {
    name: 'to delete it',
    send: (world) => byAda(world, { method: 'DELETE', path: `${environments}/${world.maries.id}` }),
    status: 404,
    says: /of yours/,
  },
  {
    name: "to end another's login",
    send: post(({ mariesLogin }) => `/hub/sessions/${mariesLogin}/end`),
    status: 404,
    says: /over already/,
  },
  // Tickets, entries and logins
  {
    name: 'a forged ticket',
    send: atDoor(({ ticket }) => ticket({}, wrongKey)),
    status: 403,
    says: /not valid or too old/,
  },
  { name: 'a ticket used before', send: atDoor(({ usedTicket }) => usedTicket), status: 403, says: /used already/ },
  {
    name: 'a ticket of yesterday',
    send: atDoor(({ ticket }) => ticket({ issuedAt: Date.now() - 60_000, expiresAt: Date.now() - 30_000 })),
    status: 403,
    says: /not valid or too old/,
  },
  {
    name: "a ticket of another's environment",
    send: atDoor(({ ticket, maries }) => ticket({ environment: maries.id })),
    status: 403,
    says: /not for this place/,
  },
  {
    name: 'a ticket of another browser',
    send: atDoor(({ ticket }) => ticket({ nonceHash: nonceHash('x') })),
    status: 403,
    says: /cookie/,
  },
  {
    name: 'a ticket from elsewhere',
    send: atDoor(
      ({ ticket }) => ticket(),
      () => ({ origin: 'http://other.example' }),
    ),
    status: 403,
    says: /not come from the hub/,
  },
  { name: 'an entry as a ticket', send: atDoor(({ entry }) => entry()), status: 403, says: /not valid or too old/ },
  { name: 'a forged entry', send: inside(({ entry }) => entry({}, wrongKey)), status: 401, says: /enter from there/ },
  {
    name: 'an entry that is over',
    send: inside(({ entry }) => entry({ expiresAt: Date.now() - 1 })),
    status: 401,
    says: /enter from there/,
  },
  {
    name: "one's own entry elsewhere",
    send: inside(({ entry }) => entry(), {}, 'maries'),
    status: 401,
    says: /enter from there/,
  },
  {
    name: 'a guest on a single origin',
    send: inside(({ entry, maries }) => entry({ environment: maries.id, role: 'guest' }), {}, 'maries'),
    status: 403,
    says: /belongs to somebody else/,
  },
  {
    name: 'a forged login',
    send: read(environments, { cookie: `hutch-login=${'x'.repeat(43)}` }),
    status: 401,
    says: /Log in/,
  },
  {
    name: 'a forged token',
    send: read(environments, { authorization: 'Bearer hutch_x' }),
    status: 401,
    says: /unknown, revoked or over/,
  },
  {
    name: 'a forged state',
    send: read('/hub/login/demo/callback?state=forged&code=x', page),
    status: 403,
    says: /begun in this browser|again/,
  },
  {
    name: 'an answer used before',
    send: ({ usedCallback: { path, cookie } }) => ({ path, headers: { ...page, cookie } }),
    status: 403,
    says: /again/,
  },
  // Other sites
  {
    name: 'a post from elsewhere',
    send: post(({ own }) => `${environments}/${own.id}/stop`, { origin: 'http://other.example' }),
    status: 403,
    says: /own address/,
  },
  {
    name: 'a post from a neighbour',
    send: post(({ own }) => `${environments}/${own.id}/stop`, { 'sec-fetch-site': 'same-site' }),
    status: 403,
    says: /own address/,
  },
  {
    name: 'a post from nowhere',
    send: post(({ own }) => `${environments}/${own.id}/stop`, { origin: 'null' }),
    status: 403,
    says: /own address/,
  },
  {
    name: 'a socket to the hub',
    send: read('/hub/api/v1/events', { ...upgrade, origin: 'http://other.example' }),
    status: 403,
    says: /own address/,
  },
  {
    name: 'a socket to the environment',
    send: inside(({ entry }) => entry(), { ...upgrade, origin: 'http://other.example' }),
    status: 403,
    says: /own address/,
  },
  {
    name: 'an unknown host',
    send: read('/hub/home', { host: 'other.example' }),
    status: 421,
    says: /The address of this installation is/,
  },
  {
    name: 'a host for a user where there is none',
    send: read('/user/ada/', { host: 'ada.localhost' }),
    status: 421,
    says: /address/,
  },
  {
    name: 'a wrong method',
    send: (world) => byAda(world, { method: 'PUT', path: `${environments}/x` }),
    status: 405,
    says: /PUT is not possible here. Use /,
  },
  // It asks; the rows after it show that the login goes on.
  { name: 'to log out by a link', send: read('/hub/logout', page), status: 200, says: /Log out of Hutch\?/ },
  {
    name: 'a method of nobody',
    send: (world) => byAda(world, { method: 'PROPFIND', path: '/hub/home' }),
    status: 405,
    says: /PROPFIND/,
  },
]
