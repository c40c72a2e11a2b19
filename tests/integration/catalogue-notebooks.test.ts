/** The demo's data are what they say, and its notebooks really run beside them and draw. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { glob, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { z } from 'zod'
import { demoDataFolder } from '../../hub/catalogue/demo/install.ts'
import { createCatalogue } from '../../hub/catalogue/index.ts'
import { jupyterBin } from '../support/jupyter.ts'
import { quietLog } from '../support/quiet-log.ts'
import { unasked } from '../support/unasked.ts'
import { temporaryFolder } from '../support/temporary.ts'

const run = promisify(execFile)

const text = z.union([z.string(), z.array(z.string()).transform((lines) => lines.join(''))])
const notebookSchema = z.object({
  nbformat: z.literal(4),
  cells: z.array(
    z.object({
      cell_type: z.enum(['markdown', 'code']),
      execution_count: z.int().nullish(),
      outputs: z
        .array(
          z.object({ output_type: z.string(), text: text.optional(), data: z.record(z.string(), text).optional() }),
        )
        .default([]),
    }),
  ),
})

async function readNotebook(path: string) {
  return notebookSchema.parse(JSON.parse(await readFile(path, 'utf8')))
}

test('every file under raw is named in ORIGIN.md with its sum, and notebooks carry no outputs', async (t) => {
  let files = 0
  for await (const path of glob('hub/catalogue/demo/data/*/raw/*')) {
    if (basename(path) === 'ORIGIN.md') continue
    const origin = await readFile(join(dirname(path), 'ORIGIN.md'), 'utf8')
    const sum = createHash('sha256')
      .update(await readFile(path))
      .digest('hex')
    t.true(
      origin.split('\n').some((line) => line.startsWith(`| ${basename(path)} `) && line.includes(sum)),
      path,
    )
    t.regex(origin, /sasdata 0\.11\.0[^]*Redistribution and use in source and binary forms/)
    files += 1
  }
  t.is(files, 6)
  for await (const path of glob('hub/catalogue/demo/data/*/processed/*.ipynb')) {
    const { cells } = await readNotebook(path)
    t.true(
      cells.every((cell) => cell.outputs.length === 0 && cell.execution_count == null),
      path,
    )
  }
})

const notebooks: readonly (readonly [proposal: string, name: string, printed: RegExp])[] = [
  ['20150042', 'p123.ipynb', /10 wt%: peak at q = 0\.029 1\/Å, d = 21\.7 nm\n30 wt%: .*\n40 wt%: .* d = 14\.6 nm/],
  ['20080121', 'nist.ipynb', /\(121, 95, np\.int64\(190305\)\)/],
]
for (const [proposal, name, printed] of notebooks) {
  test.serial(`${name} loads the raw files of ${proposal} and draws them`, async (t) => {
    const bin = await jupyterBin(t)
    if (bin === undefined) return
    const stateFolder = await temporaryFolder(t)
    await createCatalogue({ type: 'demo' }, { ...unasked, stateFolder, now: () => new Date(), log: quietLog })
    const path = join(demoDataFolder(stateFolder), proposal, 'processed', name)
    const env = { PATH: `${bin}:/usr/bin:/bin`, HOME: stateFolder, LANG: 'C.UTF-8' }
    await run(join(bin, 'jupyter'), ['execute', '--inplace', '--timeout=120', path], { env, timeout: 170_000 })

    const outputs = (await readNotebook(path)).cells.flatMap((cell) => cell.outputs)
    t.false(outputs.some((output) => output.output_type === 'error'))
    t.regex(outputs.map((output) => output.text ?? output.data?.['text/plain'] ?? '').join('\n'), printed)
    const image = Buffer.from(outputs.map((output) => output.data?.['image/png']).find(Boolean) ?? '', 'base64')
    t.is(image.subarray(1, 4).toString(), 'PNG')
    t.true(image.readUInt32BE(16) > 500 && image.readUInt32BE(20) > 300, 'width and height')
    t.true(image.length > 15_000, `only ${image.length} bytes: a plot without points?`)
  })
}
