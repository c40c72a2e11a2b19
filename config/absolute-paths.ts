/** Relative paths in the configuration are relative to its file. */
import { resolve } from 'node:path'
import type { Configuration, Directory } from './schema.ts'

type WithPaths = Partial<
  Pick<Configuration, 'state' | 'database' | 'login' | 'accounts' | 'catalogue' | 'archive' | 'services' | 'proxy'>
>

/** The same, with every path of a file or folder of the hub's own absolute. */
export function absolutePaths<T extends WithPaths>(configuration: T, folder: string): T {
  const { state, database, login, accounts, catalogue, archive, services, proxy } = configuration
  const absolute: WithPaths = {}
  if (state !== undefined) absolute.state = resolve(folder, state)
  if (database?.type === 'postgresql') {
    absolute.database = { ...database, ...optional('passwordFile', database.passwordFile, folder) }
  }
  if (login !== undefined) {
    const providers = Object.entries(login.providers).map(([name, provider]) => [
      name,
      { ...provider, ...optional('clientSecretFile', provider.clientSecretFile, folder) },
    ])
    const passwords = Object.entries(login.passwords).map(([name, one]) => [
      name,
      one.type === 'ldap' && one.directory ? { ...one, directory: absoluteDirectory(one.directory, folder) } : one,
    ])
    absolute.login = {
      ...login,
      providers: Object.fromEntries(providers) as typeof login.providers,
      passwords: Object.fromEntries(passwords) as typeof login.passwords,
    }
  }
  if (accounts?.source === 'ldap') {
    absolute.accounts = absoluteDirectory(accounts, folder)
  }
  if (catalogue?.type === 'file') absolute.catalogue = { ...catalogue, path: resolve(folder, catalogue.path) }
  if (catalogue?.type === 'http') {
    absolute.catalogue = { ...catalogue, ...optional('tokenFile', catalogue.tokenFile, folder) }
  }
  if (catalogue?.type === 'scicat')
    absolute.catalogue = { ...catalogue, reader: absoluteReader(catalogue.reader, folder) }
  if (catalogue?.type === 'icat' && catalogue.reader !== undefined)
    absolute.catalogue = { ...catalogue, reader: absoluteReader(catalogue.reader, folder) }
  if (archive?.hook !== undefined) {
    absolute.archive = {
      ...archive,
      hook: { ...archive.hook, ...optional('tokenFile', archive.hook.tokenFile, folder) },
    }
  }
  if (services !== undefined) {
    absolute.services = Object.fromEntries(
      Object.entries(services).map(([name, service]) => [
        name,
        { ...service, apiTokenFile: resolve(folder, service.apiTokenFile) },
      ]),
    )
  }
  if (proxy?.tls !== undefined) {
    const { certificateFile, keyFile } = proxy.tls
    const tls = { certificateFile: resolve(folder, certificateFile), keyFile: resolve(folder, keyFile) }
    absolute.proxy = { ...proxy, tls }
  }
  return { ...configuration, ...absolute }
}

function absoluteDirectory<T extends Pick<Directory, 'caFile' | 'passwordFile'>>(directory: T, folder: string): T {
  const { caFile, passwordFile } = directory
  return { ...directory, ...optional('caFile', caFile, folder), ...optional('passwordFile', passwordFile, folder) }
}

function absoluteReader<T extends { passwordFile: string }>(reader: T, folder: string): T {
  return { ...reader, passwordFile: resolve(folder, reader.passwordFile) }
}

function optional<Key extends string>(key: Key, path: string | undefined, folder: string): { [key in Key]?: string } {
  return path === undefined ? {} : ({ [key]: resolve(folder, path) } as { [key in Key]: string })
}
