/** An orphan becomes a row again: enough to enter it, and to stop it. What was chosen for it is lost. */
import type { EnvironmentSpec } from '../../spawners/spawner.ts'
import { isEnvironmentId } from '../../spawners/spawner.ts'
import { takeBackRecord } from '../quota/ledger.ts'
import { insertRow, rowOf } from '../store/environments.ts'
import type { EnvironmentRow, NewEnvironment } from '../store/schema.ts'
import type { Context } from './context.ts'
import type { Orphan } from './orphans.ts'

export async function adoptOrphan(context: Context, orphan: Orphan): Promise<void> {
  const { store, lease, board, log, name, now } = context
  const adopted = await store.writer.note(
    `environment ${orphan.id}`,
    async (trx, tell) => {
      await store.leases.check(trx, lease)
      const known = await rowOf(trx, orphan.id)
      const userId = known?.user_id ?? (await userNamed(orphan.owner))
      if (userId === undefined) return undefined
      const taken = await trx
        .selectFrom('environments')
        .select('id')
        .where('user_id', '=', userId)
        .where('server', '=', known?.server ?? orphan.id)
        .where('ended_at', 'is', null)
        .executeTakeFirst()
      if (taken !== undefined) return undefined
      tell({ of: 'environments', ids: [orphan.id] })
      if (known === undefined) return await insertRow(trx, rowFor(orphan, userId))
      const revived = { ended_at: null, end_reason: null, end_message: null, log_tail: null }
      await takeBackRecord(trx, orphan.id)
      await trx.updateTable('environments').set(revived).where('id', '=', orphan.id).execute()
      return { ...known, ...revived }

      async function userNamed(userName: string | undefined): Promise<string | undefined> {
        if (userName === undefined) return undefined
        const user = await trx.selectFrom('users').select('id').where('name', '=', userName).executeTakeFirst()
        return user?.id
      }
    },
    (row: EnvironmentRow | undefined) => row && board.apply(row),
  )
  const fields = { environment: orphan.id, spawner: name, owner: orphan.owner }
  if (adopted) log.info(fields, 'an environment was adopted')
  else log.warn(fields, 'an environment can not be adopted before its owner has logged in once')

  function rowFor({ id, owner = '', digest = '' }: Orphan, userId: string): NewEnvironment {
    const at = now().getTime()
    return {
      id,
      user_id: userId,
      server: id,
      title: `Adopted ${id}`,
      spawner: name,
      profile: 'adopted',
      flavour: 'adopted',
      proposals: '[]',
      spec: JSON.stringify(lostSpec(id, owner, digest)),
      spec_digest: digest,
      choices: JSON.stringify({ profile: 'adopted', flavour: 'adopted', proposals: [] }),
      wanted: 'present',
      wanted_at: at,
      // It was accepted, whenever that was: it is never launched again.
      action: 'ensure',
      action_begun_at: at,
      action_at: at,
      accepted_at: at,
      attempts: 1,
      generation: 0,
      requested_at: at,
    }
  }

  /** Never handed to a backend: of what is there already, only its address is of use. */
  function lostSpec(id: string, owner: string, digest: string): EnvironmentSpec {
    if (!isEnvironmentId(id)) throw new Error(`the backend shows a strange id: ${id}`)
    return {
      id,
      hub: context.hub,
      owner,
      prefix: `/user/${owner}/${id}/`,
      account: { name: owner, uid: 65_534, gid: 65_534, groups: [], home: '/nonexistent', shell: '/bin/false' },
      application: { kind: 'web', argv: [], readyPath: '', landingPath: '' },
      resources: { cpu: 0, memoryBytes: 0, gpus: 0 },
      variables: {},
      mounts: [],
      profile: {},
      digest,
    }
  }
}
