/** The desktop's laws: what a viewer may send and get, however it is cut; which files a browser may mean. */
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import * as fc from 'fast-check'
import { startDesktop } from '../../images/agent/desktop/desktop.ts'
import { xvncArguments } from '../../images/agent/desktop/display.ts'
import { parseLayouts } from '../../images/agent/desktop/keyboards.ts'
import { createLastLines } from '../../images/agent/last-lines.ts'
import { existing, PathError, placeFor } from '../../images/agent/desktop/paths.ts'
import { clientMessages, longestCutTextBytes } from '../../images/agent/desktop/rfb/client-messages.ts'
import { createCutter, RfbError } from '../../images/agent/desktop/rfb/cutter.ts'
import { encodings } from '../../images/agent/desktop/rfb/encodings.ts'
import { serverMessages } from '../../images/agent/desktop/rfb/server-messages.ts'
import { createRoom } from '../../images/agent/desktop/room.ts'
import { visitorOf } from '../../images/agent/site/visitor.ts'
import { bytes, clientMessage, cut, framebufferUpdate, greetings, places, serverMessage } from '../support/rfb.ts'
import { temporaryFolder } from '../support/temporary.ts'

function through(program: Parameters<typeof createCutter>[0], pieces: readonly Buffer[]): Buffer {
  const take = createCutter(program)
  return Buffer.concat(pieces.flatMap((piece) => take(piece)))
}

test('law: of who may only look, exactly what changes nothing goes on, however it is cut', (t) => {
  fc.assert(
    fc.property(fc.array(clientMessage, { maxLength: 30 }), places, (messages, at) => {
      let inputs = 0
      const stream = Buffer.concat([greetings.client, ...messages.map((each) => each.bytes)])
      const rules = { looksOnly: true, onInput: () => (inputs += 1) }
      const got = through(clientMessages(rules), cut(stream, at))
      const asked = messages.findIndex((each) => each.kind === 'ask')
      const kept = messages.filter(
        ({ acts, kind }, index) => !acts && (kind !== 'format' || asked === -1 || index < asked),
      )
      t.deepEqual(got, Buffer.concat([greetings.shared, ...kept.map((each) => each.forViewers ?? each.bytes)]))
      t.is(inputs, 0)
    }),
    { numRuns: 300 },
  )
})

test('law: of who works here all goes on, and each thing that is typed, pointed at or pasted counts', (t) => {
  fc.assert(
    fc.property(fc.array(clientMessage, { maxLength: 30 }), places, (messages, at) => {
      let inputs = 0
      const stream = Buffer.concat([greetings.client, ...messages.map((each) => each.bytes)])
      const got = through(clientMessages({ looksOnly: false, onInput: () => (inputs += 1) }), cut(stream, at))
      t.deepEqual(got, Buffer.concat([greetings.shared, ...messages.map((each) => each.forOwners ?? each.bytes)]))
      t.is(inputs, messages.filter((each) => each.isInput).length)
    }),
    { numRuns: 300 },
  )
})

test('law: who may only look gets every picture and nothing of the clipboard, however it is cut', (t) => {
  fc.assert(
    fc.property(fc.array(serverMessage, { maxLength: 20 }), places, (messages, at) => {
      const stream = Buffer.concat([greetings.server, ...messages.map((each) => each.bytes)])
      const kept = messages.filter((each) => each.kind !== 'cutText').map((each) => each.bytes)
      t.deepEqual(through(serverMessages(), cut(stream, at)), Buffer.concat([greetings.server, ...kept]))
    }),
    { numRuns: 300 },
  )
})

test('law: whatever comes, it ends with RfbError or goes on', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4_000 }), fc.boolean(), (noise, looksOnly) => {
      const sides = [
        [clientMessages({ looksOnly, onInput: () => undefined }), greetings.client],
        [serverMessages(), greetings.server],
      ] as const
      for (const [program, greeting] of sides) {
        try {
          through(program, [greeting, Buffer.from(noise)])
        } catch (error) {
          if (!(error instanceof RfbError)) throw error
        }
      }
    }),
  )
  t.pass()
})

const refusedClients: readonly (readonly [why: string, stream: Buffer, looksOnly: boolean])[] = [
  ['an old version', Buffer.from('RFB 003.003\n'), false],
  ['a password', Buffer.from('RFB 003.008\n\u0002'), false],
  ['an unknown type', Buffer.concat([greetings.client, bytes(99)]), false],
  ['a type of QEMU that is not a key', Buffer.concat([greetings.client, bytes(255, 1)]), false],
  ['more encodings than there are', Buffer.concat([greetings.client, bytes(2, 0, 0xff, 0xff)]), false],
  ['a fence that is a wall', Buffer.concat([greetings.client, bytes(248, 0, 0, 0, 0, 0, 0, 0, 65)]), true],
  [
    'pixels of another size, by a viewer',
    Buffer.concat([greetings.client, bytes(0, 0, 0, 0, 16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0)]),
    true,
  ],
]

test('what is no RFB ends the connection', (t) => {
  for (const [why, stream, looksOnly] of refusedClients) {
    const rules = { looksOnly, onInput: () => undefined }
    t.throws(() => through(clientMessages(rules), [stream]), { instanceOf: RfbError }, why)
  }
  const unreadable = framebufferUpdate([bytes(0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 16)])
  const another = [
    bytes(77),
    unreadable,
    framebufferUpdate([bytes(0, 0, 0, 0, 0, 9, 0, 9, 0, 0, 0, encodings.tight, 0xf0)]),
  ]
  for (const message of another) {
    t.throws(() => through(serverMessages(), [greetings.server, message]), { instanceOf: RfbError })
  }
})

test('a text that is too long stays behind, whoever sends it, and what follows is understood', (t) => {
  const head = bytes(6, 0, 0, 0, 0, 0, 0, 0)
  head.writeInt32BE(longestCutTextBytes + 1, 4)
  const bell = bytes(4, 1, 0, 0, 0, 0, 0, 65)
  const stream = [greetings.client, head, Buffer.alloc(longestCutTextBytes + 1), bell]
  t.deepEqual(
    through(clientMessages({ looksOnly: false, onInput: () => undefined }), stream),
    Buffer.concat([greetings.shared, bell]),
  )
})

test('who asks is who the proxy says', (t) => {
  t.like(visitorOf({ headers: { 'x-hutch-user': 'Zo%C3%AB', 'x-hutch-role': 'viewer' } }), {
    name: 'Zoë',
    looksOnly: true,
  })
  t.like(visitorOf({ headers: { 'x-hutch-user': '%', 'x-hutch-role': 'owner' } }), { name: '%', looksOnly: false })
  t.like(visitorOf({ headers: {} }), { name: undefined, looksOnly: false })
})

test('who comes and goes is told, and there is an end to it', (t) => {
  const room = createRoom({ most: 2 })
  let told = 0
  const leave = room.follow(() => (told += 1))
  const ada = { name: 'ada', looksOnly: false, window: 'a' }
  const out = room.enter(ada)
  room.enter({ name: 'ben', looksOnly: true, window: 'b' })
  t.is(room.enter({ ...ada, window: 'c' }), undefined)
  t.deepEqual(
    room.list().map(({ name }) => name),
    ['ada', 'ben'],
  )
  out?.()
  out?.()
  t.is(told, 3)
  leave?.()
  room.enter(ada)
  t.is(told, 3)
})

test('a browser means files below its own places, wherever links lead', async (t) => {
  const folder = await temporaryFolder(t)
  const [home, data, secret] = ['home', 'data', 'secret'].map((name) => join(folder, name))
  if (home === undefined || data === undefined || secret === undefined) return t.fail()
  for (const each of [home, data, secret]) await mkdir(each)
  await writeFile(join(secret, 'key'), 'x')
  await writeFile(join(data, 'scan.h5'), 'x')
  await symlink(secret, join(home, 'way-out'))
  await symlink(data, join(home, 'way-in'))
  const roots = [
    { name: 'Home', path: home },
    { name: 'data', path: data },
  ]
  const rows: readonly (readonly [path: string, real: string | 400 | 403 | 404])[] = [
    ['', home],
    ['.', home],
    ['way-in/scan.h5', join(data, 'scan.h5')],
    [join(data, 'scan.h5'), join(data, 'scan.h5')],
    ['way-out/key', 403],
    [join(secret, 'key'), 403],
    ['../secret/key', 400],
    ['way-in/../../secret/key', 400],
    ['/etc/passwd', 403],
    [`${home}-not`, 404],
    ['nothing', 404],
    ['a\u0000b', 400],
    ['a\nb', 400],
    ['x'.repeat(5_000), 400],
  ]
  for (const [path, expected] of rows) {
    const got = await existing(path, roots).catch((error: unknown) =>
      error instanceof PathError ? error.status : error,
    )
    t.is(got, expected, path.slice(0, 60))
  }
  t.deepEqual(await placeFor('way-in/new', roots), { folder: data, name: 'new' })
  for (const path of ['way-out/new', 'nothing/new', '', data, '../new', 'n'.repeat(256)]) {
    await t.throwsAsync(placeFor(path, roots), { instanceOf: PathError }, path.slice(0, 60))
  }
})

test('keyboard layouts, as xkeyboard-config lists them', (t) => {
  const text =
    '! model\n  pc101           Generic\n\n! layout\n  us              English (US)\n  de              German\n  custom          A user-defined custom Layout\n\n! variant\n  chr             us: Cherokee\n'
  t.deepEqual(parseLayouts(text), [
    { name: 'us', title: 'English (US)' },
    { name: 'de', title: 'German' },
  ])
  t.deepEqual(parseLayouts(''), [])
})

test('Xvnc is told to be reached by its socket alone, and no secret', (t) => {
  const line = xvncArguments({ socket: '/s/app.sock', cookies: '/s/c', title: 'ada' }).join(' ')
  for (const part of [
    '-rfbport -1',
    '-rfbunixpath /s/app.sock',
    '-rfbunixmode 0600',
    '-nolisten tcp',
    '-nolisten local',
    '-auth /s/c',
  ]) {
    t.true(line.includes(part), part)
  }
})

test('where there is no desktop, it says what is missing and how to get it', async (t) => {
  const folder = await temporaryFolder(t)
  const desktop = startDesktop({
    argv: ['xfce4-session'],
    title: 'ada',
    directory: folder,
    environment: { PATH: folder },
    folder: { socket: join(folder, 'app.sock'), runtime: folder, remove: () => Promise.resolve() },
    startTimeoutMs: 1_000,
    lines: createLastLines(process.stdout),
  })
  t.is(await desktop.ready, undefined)
  const { is, message } = await desktop.exit
  t.is(is, 'failed')
  t.regex(message, /Xvnc and xfce4-session are missing.*apt-get install tigervnc-standalone-server/)
})
