import { LaunchRefused, type EnvironmentSpec } from '../spawner.ts'

export interface ApplicationRules {
  /** Each environment has a loopback of its own, so that a port on it is nobody else's. */
  readonly hasOwnLoopback: boolean
  /** What an image would start can be found out. */
  readonly knowsImages: boolean
}

/** @throws LaunchRefused for an application that this backend can't start, or only openly. */
export function checkApplication(
  { application, protocol }: Pick<EnvironmentSpec, 'application' | 'protocol'>,
  { hasOwnLoopback, knowsImages }: ApplicationRules,
): void {
  if (application.kind !== 'terminal' && application.argv.length === 0 && !knowsImages) {
    throw new LaunchRefused('The profile says not what to start, and it has to here. Ask your administrator for argv.')
  }
  if (application.port !== undefined && protocol !== 'jupyterhub' && !hasOwnLoopback) {
    throw new LaunchRefused(
      "The profile's application listens on a port, which everybody on the machine would reach. Ask your administrator for one that listens on {socket}.",
    )
  }
}
