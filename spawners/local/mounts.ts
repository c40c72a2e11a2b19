/** Where an environment's directories lie on this machine, looked at before anything is made. */
import { realpath, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { isWithin, nearestFolder } from '../common/checkMounts.ts'
import { LaunchRefused, type Mount } from '../spawner.ts'
import type { LocalConfig } from './config.ts'
import { isErrno } from './errno.ts'
import type { HostMount } from './render.ts'

export interface MountTools {
  readonly config: Pick<LocalConfig, 'nfs'>
  readonly context: { readonly stateFolder: string }
}

/** @throws LaunchRefused, naming the one that can't be there. */
export async function findMounts(
  { config, context }: MountTools,
  mounts: readonly Mount[],
): Promise<readonly HostMount[]> {
  const stateFolder = await realpath(context.stateFolder)
  return await Promise.all(
    mounts.map(async (mount) => {
      const { name, target, readOnly } = mount
      const source = await findFolder(name, hostPath(mount, config.nfs))
      if (isWithin(source, stateFolder) || isWithin(stateFolder, source)) {
        throw new LaunchRefused(`"${name}" can't be there: its source holds files of the hub.`)
      }
      await checkBeneath(mount, source, config.nfs)
      return { source, target, readOnly }
    }),
  )
}

/** A path that somebody chose is walked as root here: a link in it could lead anywhere. */
async function checkBeneath(mount: Mount, found: string, nfs: LocalConfig['nfs']): Promise<void> {
  const { name, source, beneath } = mount
  if (beneath === undefined) return
  const root = await findFolder(name, hostPath({ ...mount, source: { ...source, path: beneath } }, nfs))
  if (isWithin(source.path, beneath) && found === join(root, relative(beneath, source.path))) return
  throw new LaunchRefused(
    `"${name}" can't be there: a link in ${source.path} leads elsewhere. Choose the folder itself.`,
  )
}

function hostPath({ name, source }: Mount, nfs: LocalConfig['nfs']): string {
  if (source.kind === 'host') return source.path
  const path = `${source.server}:${source.path}`
  const exported = nearestFolder(path, Object.keys(nfs))
  const mounted = exported === undefined ? undefined : nfs[exported]
  if (exported === undefined || mounted === undefined) {
    throw new LaunchRefused(
      `"${name}" can't be there: ${path} is not mounted on this machine (the spawner's \`nfs\` does not list it).`,
    )
  }
  return join(mounted, relative(exported, path))
}

async function findFolder(name: string, path: string): Promise<string> {
  try {
    const source = await realpath(path)
    if ((await stat(source)).isDirectory()) return source
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP')) throw cause
    throw new LaunchRefused(
      `"${name}" is not there: ${path} does not exist on this machine, or is closed to the hub.`,
      {
        cause,
      },
    )
  }
  throw new LaunchRefused(`"${name}" is not there: ${path} is not a directory.`)
}
