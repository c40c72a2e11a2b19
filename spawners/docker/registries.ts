/** Whose name and password a registry gets. Docker keeps neither: they go with each pull. */
import { readFile } from 'node:fs/promises'
import { LaunchRefused } from '../spawner.ts'
import type { DockerConfig } from './config.ts'

/** As Docker's X-Registry-Auth has it. */
export interface RegistryLogin {
  readonly username: string
  readonly password: string
  readonly serveraddress: string
}

/** Docker's own rule: what comes before the first slash is a host when it looks like one. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/')
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : 'docker.io'
}

/** Read anew each time, so that a password can be changed. Undefined: this registry is asked without a login. */
export async function registryLogin(
  { registries }: Pick<DockerConfig, 'registries'>,
  image: string,
): Promise<RegistryLogin | undefined> {
  const serveraddress = registryOf(image)
  const login = registries[serveraddress]
  if (login === undefined) return undefined
  const { username, passwordFile } = login
  try {
    return { username, password: (await readFile(passwordFile, 'utf8')).trim(), serveraddress }
  } catch (error) {
    throw new LaunchRefused(
      `The password for the registry ${serveraddress} can't be read. Ask your administrator for registries.passwordFile.`,
      { cause: error },
    )
  }
}
