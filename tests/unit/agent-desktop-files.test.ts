/** Files between a browser and a desktop: nothing is overwritten unasked, nothing half stays, everything has an end. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer, request, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import { createFiles, type Conflict, type FilesOptions } from '../../images/agent/desktop/files.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Body = string | Buffer | readonly string[]

interface Place {
  readonly home: string
  readonly get: (path: string, method?: string) => Promise<Answer>
  readonly list: (path: string) => Promise<Answer>
  /** In pieces: it does not say how long it is. */
  readonly put: (path: string, body: Body, conflict?: Conflict) => Promise<Answer>
  /** Sends this much and waits; the returned function breaks off. */
  readonly putHalf: (path: string, body: string) => () => void
}

async function start(t: ExecutionContext, options: Partial<FilesOptions> = {}): Promise<Place> {
  const home = join(await temporaryFolder(t), 'home')
  await mkdir(home)
  const files = createFiles({ roots: [{ name: 'Home', path: home }], ...options })
  const server = createServer((incoming, response) => {
    for (const stream of [incoming, response]) stream.on('error', () => response.destroy())
    const { pathname, searchParams: query } = new URL(incoming.url ?? '', 'http://x')
    const path = query.get('path') ?? ''
    if (incoming.method === 'PUT') {
      void files.upload(path, (query.get('conflict') ?? 'refuse') as Conflict, incoming, response)
    } else if (pathname === '/folder') void files.list(path, response)
    else void files.download(path, incoming, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const asking = (target: string, query: Record<string, string>, method: string, headers = {}) =>
    request({ port, host: '127.0.0.1', method, headers, path: `${target}?${new URLSearchParams(query).toString()}` })
  const ask = async (target: string, query: Record<string, string>, method: string, body?: Body) => {
    const asked = asking(target, query, method)
    const answered = once(asked, 'response') as Promise<[IncomingMessage]>
    if (Array.isArray(body)) for (const piece of body) asked.write(piece)
    asked.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : undefined)
    const [answer] = await answered
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: await text(answer) }
  }
  return {
    home,
    get: (path, method = 'GET') => ask('/file', { path }, method),
    list: (path) => ask('/folder', { path }, 'GET'),
    put: (path, body, conflict = 'refuse') => ask('/file', { path, conflict }, 'PUT', body),
    putHalf(path, body) {
      const asked = asking('/file', { path }, 'PUT', { 'content-length': 1_000_000 })
      asked.on('error', () => undefined)
      asked.write(body)
      return () => asked.destroy()
    },
  }
}

test('what is uploaded comes back as it was, by its own name', async (t) => {
  const { get, put, home } = await start(t)
  const body = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251))
  t.is((await put('scan äü "1".dat', body)).status, 201)
  t.deepEqual(await readFile(join(home, 'scan äü "1".dat')), body)
  const got = await get('scan äü "1".dat')
  t.is(got.status, 200)
  t.is(got.headers['content-length'], String(body.length))
  t.is(got.headers['content-disposition'], "attachment; filename*=UTF-8''scan%20%C3%A4%C3%BC%20%221%22.dat")
  t.is(got.headers['content-type'], 'application/octet-stream')
  t.is((await get('scan äü "1".dat', 'HEAD')).body, '')
  await put('empty', '')
  t.like(await get('empty'), { status: 200, body: '' })
})

test('nothing is overwritten unasked, not by many at once either', async (t) => {
  const { put, home } = await start(t)
  await put('a.tar.gz', 'first')
  const refused = await put('a.tar.gz', 'second')
  t.is(refused.status, 409)
  t.regex(refused.body, /a\.tar\.gz is there already/)
  t.is(
    (await put('a.tar.gz', 'second', 'rename')).body,
    JSON.stringify({ path: join(home, 'a (2).tar.gz'), name: 'a (2).tar.gz' }),
  )
  t.is((await put('a.tar.gz', 'third', 'replace')).status, 201)
  t.is(await readFile(join(home, 'a.tar.gz'), 'utf8'), 'third')
  await mkdir(join(home, 'folder'))
  t.is((await put('folder', 'x', 'replace')).status, 409)

  const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => put('race', String(index))))
  const won = answers.filter(({ status }) => status === 201)
  t.is(won.length, 1)
  t.is(answers.filter(({ status }) => status === 409).length, 7)
  const kept = await Promise.all(Array.from({ length: 8 }, () => put('many', 'x', 'rename')))
  t.is(new Set(kept.map(({ body }) => body)).size, 8)
  t.false((await readdir(home)).some((name) => name.startsWith('.hutch-upload')))
})

test('half an upload leaves nothing, and one that stands still is given up', async (t) => {
  const { putHalf, home } = await start(t, { idleMs: 200 })
  const drafts = async (): Promise<number> => (await readdir(home)).length
  const breakOff = putHalf('broken', 'half')
  await until('it arrives', async () => (await drafts()) === 1)
  breakOff()
  await until('nothing is left', async () => (await drafts()) === 0)
  putHalf('still', 'half')
  await until('it arrives', async () => (await drafts()) === 1)
  await until('nothing is left', async () => (await drafts()) === 0)
  t.pass()
})

test('there is an end to how much and how many', async (t) => {
  const { put, home } = await start(t, { mostUploadBytes: 1_000 })
  t.is((await put('large', 'x'.repeat(1_001))).status, 413)
  t.is((await put('large', ['x'.repeat(1_000), 'x'])).status, 413, 'one that does not say how long it is')
  t.deepEqual(await readdir(home), [])
  const small = await start(t, { mostTransfers: 1 })
  const breakOff = small.putHalf('one', 'half')
  await until('it arrives', async () => (await readdir(small.home)).length === 1)
  t.is((await small.put('two', 'x')).status, 503)
  breakOff()
})

test('what is not a file of one’s own places is refused in words', async (t) => {
  const { get, put, list, home } = await start(t)
  const outside = join(home, '..', 'outside')
  await mkdir(outside)
  await symlink(outside, join(home, 'link'))
  await mkdir(join(home, 'folder'))
  execFileSync('mkfifo', [join(home, 'pipe')])
  const rows: readonly (readonly [what: string, answer: Promise<Answer>, status: number])[] = [
    ['a way up', get('../outside/x'), 400],
    ['through a link', put('link/x', 'y'), 403],
    ['a folder as a file', get('folder'), 400],
    ['a pipe, which nobody writes', get('pipe'), 400],
    ['nothing', get('nothing'), 404],
    ['into no folder', put('no/x', 'y'), 404],
    ['a list of a file', list('pipe'), 400],
    ['a list of what is outside', list('link'), 403],
  ]
  for (const [what, answer, status] of rows) {
    const got = await answer
    t.is(got.status, status, what)
    t.regex((JSON.parse(got.body) as { detail: string }).detail, /\.$/, what)
  }
  t.deepEqual(await readdir(outside), [])
})

test('a folder is listed, folders first, without what is hidden', async (t) => {
  const { list, home } = await start(t)
  for (const name of ['b10', 'b9', '.hidden']) await writeFile(join(home, name), 'xy')
  await mkdir(join(home, 'z'))
  const body = JSON.parse((await list('')).body) as { path: string; entries: { name: string }[]; isCut: boolean }
  t.is(body.path, home)
  t.deepEqual(
    body.entries.map(({ name }) => name),
    ['z', 'b9', 'b10'],
  )
  t.false(body.isCut)
})
