/** Where somebody may go who may only look: only places where who answers lets nobody type. Pure. */
import type { Route } from '../../proxy/feed.ts'
import type { EnvironmentSpec } from '../../spawners/spawner.ts'

/**
 * Undefined: nowhere. JupyterLab and terminals have no such places: whoever sees them can type. At a desktop the agent
 * heeds X-Hutch-Role, and a viewer's keys and mouse end there.
 */
export function viewersOf({ application, protocol }: Pick<EnvironmentSpec, 'application' | 'protocol'>) {
  switch (application.kind) {
    case 'desktop':
      return protocol === 'jupyterhub' ? undefined : desktop
    case 'notebook':
    case 'terminal':
    case 'web':
      return undefined
  }
}

const desktop: NonNullable<Route['viewers']> = {
  read: ['_hutch/desktop/', '_hutch/static/'],
  listen: [],
  speak: ['_hutch/desktop/'],
}
