import { LaunchRefused, type EnvironmentSpec } from '../spawner.ts'

/** @throws LaunchRefused for an application without encryption, where such ones are not allowed. */
export function checkProtocol({ protocol }: Pick<EnvironmentSpec, 'protocol'>, allowUnencrypted: boolean): void {
  if (protocol !== 'jupyterhub' || allowUnencrypted) return
  throw new LaunchRefused(
    'This profile is not encrypted, and such profiles are not allowed here. Ask your administrator for allowUnencrypted.',
  )
}
