/** What an API server does to a hub: one row for each, through a proxy that makes it behave badly. */
import assert from 'node:assert/strict'
import type { Spawner } from '../../spawners/spawner.ts'
import { isList, isWatch, type Asked } from './kubernetesFaults.ts'
import { deadline, isPodPost, ofPods, patience, rejects, type Room, type Row } from './kubernetesRows.ts'
import { until } from './until.ts'

export const faultRows: readonly Row[] = [
  {
    title: 'a watch that is cut in the middle of a line goes on where it was; nothing is listed again',
    alone: true,
    async run(room) {
      const { site, spawner } = room
      const [before, meanwhile] = [room.spec(), room.spec()]
      await spawner.ensure(before, deadline())
      const other = await room.open()
      await watches(spawner)
      await watches(other)
      site.faults.asked()
      const heal = site.faults.inject((asked) => isWatch(asked) && ofPods(asked), { does: 'delay', ms: 300 })
      site.faults.severWatches()
      await other.ensure(meanwhile, deadline())
      const asked = await untilWatched(room)
      heal()
      assert.equal(asked.filter((each) => isList(each) && ofPods(each)).length, 0, 'it was listed again')
      await until('what came meanwhile is told', async () => (await room.observe()).has(meanwhile.id), patience)
      assert.ok((await room.observe()).has(before.id))
    },
  },
  {
    title: 'a version that is too old (410), told by the watch or at its opening, is the one reason to list again',
    alone: true,
    async run(room) {
      const { faults } = room.site
      const spec = room.spec()
      await room.spawner.ensure(spec, deadline())
      for (const happens of [
        () => faults.expireWatches(),
        () => {
          faults.inject(isWatch, { does: 'answer', status: 410 }, 2)
          faults.severWatches()
        },
      ]) {
        await watches(room.spawner)
        faults.asked()
        happens()
        const asked: Asked[] = []
        await until(
          'it is listed and watched again',
          async () => {
            asked.push(...faults.asked().filter(ofPods))
            const listed = asked.findIndex(isList)
            return listed !== -1 && asked.slice(listed).some(isWatch)
          },
          patience,
        )
        assert.equal(asked.filter(isList).length, 1)
        assert.ok((await room.observe()).has(spec.id))
      }
    },
  },
  {
    title: 'a watch that says nothing any more is opened anew where it was, and its age is known meanwhile',
    alone: true,
    config: () => ({ silencePatience: '2s' }),
    async run(room) {
      const { faults } = room.site
      await watches(room.spawner)
      faults.asked()
      faults.silenceWatches()
      const asked = await untilWatched(room)
      assert.equal(asked.filter(isList).length, 0, 'it was listed again')
      assert.ok((room.spawner.watchAgeMs?.() ?? Infinity) < 60_000)
    },
  },
  {
    title: 'an API server that is away: nothing is known and nothing is gone; afterwards everything is',
    alone: true,
    async run(room) {
      const { site, spawner } = room
      const [kept, taken, late] = [room.spec(), room.spec(), room.spec()]
      await spawner.ensure(kept, deadline())
      await spawner.ensure(taken, deadline())
      const heal = await site.faults.cut()
      await rejects(room.observe())
      await rejects(spawner.ensure(late, deadline()))
      assert.equal((await spawner.check?.(deadline()))?.ok, false)
      await site.cluster.kubectl('delete', 'pod', taken.id, '-n', site.namespace, '--wait=false')
      await heal()
      await spawner.ensure(late, deadline())
      await until('it knows what happened', async () => !(await room.observe()).has(taken.id), patience)
      const found = await room.observe()
      assert.ok(found.has(kept.id) && found.has(late.id))
    },
  },
  {
    title: 'too many requests (429): asked again when the server says, and launched once',
    alone: true,
    async run(room) {
      const { faults } = room.site
      const spec = room.spec()
      faults.inject(isPodPost, { does: 'answer', status: 429, headers: { 'retry-after': '1' } }, 2)
      faults.asked()
      const begunAt = performance.now()
      await room.spawner.ensure(spec, deadline())
      assert.ok(performance.now() - begunAt >= 1_900, 'it did not wait as it was told')
      assert.equal(faults.asked().filter(isPodPost).length, 3)
      faults.inject(isPodPost, { does: 'answer', status: 429 })
      await rejects(room.spawner.ensure(room.spec(), deadline()))
      assert.equal(faults.asked().filter(isPodPost).length, 4, 'it asks without end')
      assert.ok((await room.observe()).has(spec.id))
    },
  },
  {
    title: 'a conflict (409), an error (500) and one after the pod was made: tried again, and there is one pod',
    alone: true,
    async run(room) {
      const { cluster, faults, namespace } = room.site
      const spec = room.spec()
      const conflict = { kind: 'Status', code: 409, reason: 'Conflict', message: 'the quota was changed meanwhile' }
      faults.inject(isPodPost, { does: 'answer', status: 409, body: conflict }, 1)
      await rejects(room.spawner.ensure(spec, deadline()))
      faults.inject(isPodPost, { does: 'answer', status: 500 }, 1)
      await rejects(room.spawner.ensure(spec, deadline()))
      faults.inject(isPodPost, { does: 'answer', status: 500, passed: true }, 1)
      await rejects(room.spawner.ensure(spec, deadline()))
      // It has the pod by its watch; another hub's process would have to ask for it.
      await (await room.open()).ensure(spec, deadline())
      const selector = `hutch.dev/environment=${spec.id}`
      const names = await cluster.kubectl('get', 'pods,secrets', '-n', namespace, '-l', selector, '-o', 'name')
      assert.deepEqual(names.trim().split('\n'), [`pod/${spec.id}`, `secret/${spec.id}`])
    },
  },
  {
    title: 'a list that fails after its first page tells nothing: it is whole or there is none',
    alone: true,
    async run(room) {
      const { faults } = room.site
      const specs = [room.spec(), room.spec(), room.spec()]
      for (const spec of specs) await room.spawner.ensure(spec, deadline())
      for (const status of [500, 410]) {
        const heal = faults.inject((asked) => isList(asked) && ofPods(asked), { does: 'page', size: 1 })
        const isSecond = (asked: Asked): boolean => ofPods(asked) && asked.query.has('continue')
        faults.inject(isSecond, { does: 'answer', status }, 3)
        const fresh = await room.open()
        const sizes = new Set<number>()
        await until(
          'it has a whole list',
          async () => {
            const size = await room.observe(fresh).then(
              (found) => found.size,
              () => 'none',
            )
            if (typeof size === 'number') sizes.add(size)
            return sizes.size > 0
          },
          patience,
        )
        await room.observe(fresh).then((found) => sizes.add(found.size))
        heal()
        assert.deepEqual([...sizes], [3])
      }
    },
  },
  {
    title: 'a slow API server: launches wait for it, and what is known is known at once',
    alone: true,
    async run(room) {
      const spec = room.spec()
      await watches(room.spawner)
      const heal = room.site.faults.inject((asked) => !isWatch(asked), { does: 'delay', ms: 400 })
      await room.spawner.ensure(spec, deadline())
      assert.ok((await room.observe()).has(spec.id))
      room.site.faults.asked()
      await room.observe()
      assert.deepEqual(room.site.faults.asked(), [], 'an observation costs a request')
      heal()
    },
  },
]

/** Everything asked until the pods are watched anew. */
async function untilWatched({ site: { faults } }: Room): Promise<readonly Asked[]> {
  const all: Asked[] = []
  await until(
    'the watch is opened anew',
    async () => {
      all.push(...faults.asked())
      return all.some((asked) => isWatch(asked) && ofPods(asked))
    },
    patience,
  )
  return all
}

async function watches(spawner: Spawner): Promise<void> {
  // A loop looks at once, and what it looked at is followed from then on.
  await spawner.observe(deadline())
  const isOpen = async (): Promise<boolean> => /last heard/.test((await spawner.check?.(deadline()))?.message ?? '')
  await until('the watch is open', isOpen, patience)
}
