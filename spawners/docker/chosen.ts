/**
 * Directories whose paths people chose. Docker walks a path as root, and a link on the way could lead anywhere: so each
 * step is looked at first, through a container that never runs and has the root of the path.
 */
import { posix } from 'node:path'
import type { MountSettings } from 'dockerode'
import { LaunchRefused, type Mount } from '../spawner.ts'
import type { DockerConfig } from './config.ts'
import type { Engine } from './engine.ts'
import { mountsOf } from './render.ts'

type Entry = (path: string) => ReturnType<Engine['entry']>

const rootsAt = '/hutch-roots'

/** `through` makes a container with these roots for the time of the look. @throws LaunchRefused, naming the directory */
export async function checkChosen(
  mounts: readonly Mount[],
  config: Pick<DockerConfig, 'hostRoots'>,
  through: (roots: MountSettings[], look: (entry: Entry) => Promise<void>) => Promise<void>,
): Promise<void> {
  const chosen = mounts.flatMap(({ beneath, ...mount }) => (beneath === undefined ? [] : [{ ...mount, beneath }]))
  if (chosen.length === 0) return
  const roots = chosen.map(({ beneath, ...mount }, index) => ({
    ...mount,
    source: { ...mount.source, path: beneath },
    target: `${rootsAt}/${index}`,
    readOnly: true,
  }))
  await through(mountsOf(roots, config), async (entry) => {
    for (const [index, { name, source, beneath }] of chosen.entries()) {
      const way = posix.relative(beneath, source.path)
      if (way === '' || way.startsWith('..')) throw new LaunchRefused(`"${name}" does not lie beneath ${beneath}.`)
      await walk(name, source.path, steps(`${rootsAt}/${index}`, way), entry)
    }
  })
}

async function walk(name: string, path: string, all: readonly string[], entry: Entry): Promise<void> {
  for (const step of all) {
    switch (await entry(step)) {
      case 'folder':
        break
      case 'link':
        throw new LaunchRefused(
          `"${name}" can't be there: a link in ${path} leads elsewhere. Choose the folder itself.`,
        )
      case 'other':
        throw new LaunchRefused(`"${name}" is not there: ${path} is not a directory.`)
      case undefined:
        throw new LaunchRefused(`"${name}" is not there: ${path} does not exist on the machine that runs Docker.`)
    }
  }
}

/** The paths of all folders on the way, the outermost first. */
function steps(root: string, way: string): readonly string[] {
  const parts = way.split('/')
  return parts.map((_, index) => posix.join(root, ...parts.slice(0, index + 1)))
}
