import type { EnvironmentSpec } from '../spawner.ts'

/**
 * What an environment's processes find. HOME and its kin are the account's, whatever the profile's variables say;
 * `defaults` (PATH, TMPDIR …) are the backend's, and the profile may say otherwise.
 */
export function environmentVariables(
  { account, id, variables }: Pick<EnvironmentSpec, 'account' | 'id' | 'variables'>,
  defaults: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return {
    LANG: 'C.UTF-8',
    ...defaults,
    ...variables,
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell,
    HUTCH_ENVIRONMENT: id,
  }
}
