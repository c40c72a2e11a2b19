/** Which agents of earlier versions leave the state folder: none that anything alive was started with. */
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { removeOldAgents } from '../../hub/setup/old-agents.ts'
import { temporaryFolder } from '../support/temporary.ts'

const day = 86_400_000
const now = Date.parse('2026-06-30T12:00:00Z')

interface Row {
  readonly title: string
  /** Days since it was seen to be replaced; undefined: never seen so. */
  readonly retiredDays?: number
  /** Days since the oldest of what lives was launched; undefined: nothing lives. */
  readonly oldestDays?: number
  readonly isRemoved: boolean
}

const rows: readonly Row[] = [
  { title: 'nothing lives', retiredDays: 8, isRemoved: true },
  { title: 'nothing lives, but it was replaced lately', retiredDays: 6, isRemoved: false },
  { title: 'all that lives is younger', retiredDays: 30, oldestDays: 29, isRemoved: true },
  { title: 'what lives may be of it', retiredDays: 30, oldestDays: 31, isRemoved: false },
  { title: 'launched in the same moment', retiredDays: 30, oldestDays: 30, isRemoved: false },
  { title: 'seen to be replaced just now', isRemoved: false },
]

for (const { title, retiredDays, oldestDays, isRemoved } of rows) {
  test(title, async (t) => {
    const folder = await temporaryFolder(t)
    for (const name of ['current', 'old']) await mkdir(join(folder, name, 'assets'), { recursive: true })
    if (retiredDays !== undefined) {
      const marker = join(folder, 'old', 'retired')
      await writeFile(marker, '')
      await utimes(marker, new Date(now), new Date(now - retiredDays * day))
    }
    const removed = await removeOldAgents({
      folder,
      current: 'current',
      oldestLaunchAt: async () => (oldestDays === undefined ? undefined : now - oldestDays * day),
      now: () => new Date(now),
    })
    t.deepEqual(removed, isRemoved ? ['old'] : [])
    t.deepEqual((await readdir(folder)).toSorted(), isRemoved ? ['current'] : ['current', 'old'])
    if (!isRemoved) t.truthy(await stat(join(folder, 'old', 'retired')), 'its time runs from now on')
  })
}

test('one that comes back, after a downgrade, is not retired any more', async (t) => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'current'))
  await writeFile(join(folder, 'current', 'retired'), '')
  const oldestLaunchAt = async (): Promise<undefined> => undefined
  await removeOldAgents({ folder, current: 'current', oldestLaunchAt, now: () => new Date(now) })
  t.deepEqual(await readdir(join(folder, 'current')), [])
})

test('a store that does not answer removes nothing', async (t) => {
  const folder = await temporaryFolder(t)
  for (const name of ['current', 'old']) await mkdir(join(folder, name))
  const oldestLaunchAt = (): Promise<never> => Promise.reject(new Error('away'))
  await t.throwsAsync(removeOldAgents({ folder, current: 'current', oldestLaunchAt, now: () => new Date(now) }))
  t.deepEqual((await readdir(folder)).toSorted(), ['current', 'old'])
})
