/** A laptop that is closed while a cell runs, and another one that is opened after its end. */
import type { ExecutionContext } from 'ava'
import type { Browser, Page } from 'playwright-core'
import type { RunningHutch } from './hutch.ts'
import type { RemoteKernel } from './kernel.ts'
import { personAt } from './person.ts'
import { until } from './until.ts'

const patience = { timeoutMs: 240_000, everyMs: 250 }
const lines = Array.from({ length: 8 }, (_, index) => `line ${index} of 8`)

/** A notebook with one cell, which prints a line each second and leaves a mark at its end. */
const prepare = `
import json, os
source = """import os, time
for n in range(8):
  print(f'line {n} of 8', flush=True)
  time.sleep(1)
open(os.path.expanduser('~/laptop-over'), 'w').close()
"""
cell = {'cell_type': 'code', 'id': 'c1', 'metadata': {}, 'execution_count': None, 'outputs': [], 'source': source}
kernel = {'name': 'python3', 'display_name': 'Python 3 (ipykernel)', 'language': 'python'}
book = {'cells': [cell], 'metadata': {'kernelspec': kernel}, 'nbformat': 4, 'nbformat_minor': 5}
path = os.path.expanduser('~/laptop.ipynb')
json.dump(book, open(path, 'w'))
print(path)`

/** `kernel`: another one of the same environment, which sees the home. */
export async function closedLaptop(
  t: ExecutionContext,
  { opened, hutch, id, kernel }: { opened: Browser; hutch: RunningHutch; id: string; kernel: RemoteKernel },
): Promise<void> {
  const path = await kernel.run(prepare)
  const first = await openNotebook(opened, hutch, { id, path })
  await first.getByRole('menuitem', { name: 'Run' }).click()
  await first.getByRole('menuitem', { name: 'Run All Cells', exact: true }).click()
  await first.locator('.jp-OutputArea-output').getByText('line 1 of 8').waitFor()
  await first.context().close()

  const isOver = "import os; print(os.path.exists(os.path.expanduser('~/laptop-over')))"
  await until('the cell has ended', async () => (await kernel.run(isOver)) === 'True', patience)
  const second = await openNotebook(opened, hutch, { id, path })
  const output = second.locator('.jp-OutputArea-output')
  await output.getByText('line 7 of 8').waitFor()
  t.deepEqual((await output.allInnerTexts()).join('\n').trim().split(/\n+/), lines, 'nothing is lost')
  await second.context().close()
}

/** By a login of its own, as at another laptop. */
async function openNotebook(
  opened: Browser,
  hutch: RunningHutch,
  { id, path }: { id: string; path: string },
): Promise<Page> {
  const ada = await personAt(opened, hutch, 'ada')
  ada.hub.context().setDefaultTimeout(patience.timeoutMs)
  const page = await ada.open(id)
  const prefix = new URL(page.url()).pathname.split('/').slice(0, 4).join('/')
  await page.goto(new URL(`${prefix}/lab/tree${path}`, page.url()).href)
  await page.locator('.jp-Notebook').waitFor()
  await page.getByText('Python 3 (ipykernel) | Idle').waitFor()
  return page
}
