/** Every failure is one line and an exit code, without a stack trace: real errors, made by really failing. */
import { mkdir, open, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'ava'
import * as fc from 'fast-check'
import { ConfigurationError } from '../../config/mistake.ts'
import { UsageError } from '../../hub/cli/arguments.ts'
import { explain } from '../../hub/cli/failure.ts'
import { StateFolderTaken } from '../../hub/setup/lock.ts'
import { StateFolderError } from '../../hub/setup/state-folder.ts'
import { ProxyFailed } from '../../hub/supervise/proxy.ts'
import { temporaryFolder } from '../support/temporary.ts'

const mistake = { file: 'hutch.yaml', line: 3, column: 1, field: 'hub.ix', message: 'there is no such field' }

for (const [title, error, exitCode, line] of [
  ['a wrong configuration', new ConfigurationError([mistake]), 78, 'hutch.yaml:3:1  hub.ix: there is no such field'],
  ['a wrong command line', new UsageError('no'), 2, 'hutch: no'],
  ['no state folder', new StateFolderError('x', 73), 73, 'hutch: x'],
  ['a second hub', new StateFolderTaken('x'), 69, 'hutch: x'],
  ['no proxy', new ProxyFailed('hutch-proxy: 127.0.0.1:80 is taken', 2), 69, 'hutch: 127.0.0.1:80 is taken'],
  ['something else', new Error('first\n    at second'), 1, 'hutch: first'],
  ['a cause deep down', new Error('wrapped', { cause: new UsageError('deep') }), 2, 'hutch: deep'],
  ['several at once', new AggregateError([new UsageError('first')]), 2, 'hutch: first'],
  ['no error at all', 'text', 1, 'hutch: text'],
] as const) {
  test(title, (t) => t.deepEqual(explain(error), { line, exitCode }))
}

test('a taken port', async (t) => {
  const [first, second] = [createServer(), createServer()]
  t.teardown(() => first.close())
  first.listen(0, '127.0.0.1')
  await once(first, 'listening')
  const { port } = first.address() as { port: number }
  second.listen(port, '127.0.0.1')
  const [error] = (await once(second, 'error').catch((thrown: unknown) => [thrown])) as [unknown]
  t.is(explain(error).exitCode, 69)
  t.regex(explain(error).line, new RegExp(`^hutch: 127\\.0\\.0\\.1:${port} is taken: `))
})

test('a full disk, a missing server and a refused file', async (t) => {
  const full = await open('/dev/full', 'w')
  t.like(explain(await t.throwsAsync(full.writeFile('x'))), { exitCode: 74 })
  await full.close()
  const [refused] = (await once(connect(1, '127.0.0.1'), 'connect').catch((thrown: unknown) => [thrown])) as [unknown]
  t.like(explain(refused), { exitCode: 69, line: 'hutch: nothing answers at 127.0.0.1:1; is it running?' })
})

test('databases that are busy, read-only, damaged or can not be opened', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'db')
  const holder = new DatabaseSync(file)
  holder.exec('CREATE TABLE x (y); BEGIN EXCLUSIVE')
  const busy = new DatabaseSync(file, { timeout: 0 })
  t.like(explain(t.throws(() => busy.exec('BEGIN IMMEDIATE'))), { exitCode: 69 })
  holder.exec('COMMIT')
  holder.close()
  busy.close()
  const readOnly = new DatabaseSync(file, { readOnly: true })
  t.like(explain(t.throws(() => readOnly.exec('INSERT INTO x VALUES (1)'))), { exitCode: 73 })
  readOnly.close()
  await writeFile(join(folder, 'damaged'), 'x'.repeat(10_000))
  const damaged = new DatabaseSync(join(folder, 'damaged'))
  t.like(explain(t.throws(() => damaged.exec('SELECT * FROM sqlite_schema'))), { exitCode: 74 })
  damaged.close()
  await mkdir(join(folder, 'folder'))
  t.like(explain(t.throws(() => new DatabaseSync(join(folder, 'folder')))), { exitCode: 73 })
})

test('law: whatever is thrown, it is told on one line with a code of a shell', (t) => {
  const thrown = fc.oneof(
    fc.anything(),
    fc.string().map((text) => new Error(text)),
  )
  fc.assert(
    fc.property(thrown, (value) => {
      const { line, exitCode } = explain(value)
      return !line.includes('\n') && exitCode > 0 && exitCode < 128
    }),
  )
  t.pass()
})
