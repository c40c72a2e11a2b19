/** The files that the configuration names: there, readable, and secrets private. */
import { access, constants } from 'node:fs/promises'
import type { Draft } from './draft.ts'
import type { Finding, Path } from './mistake.ts'
import { readSecretFile, SecretFileError } from './secret.ts'

/** Paths in the draft are absolute already. */
export async function checkFiles(draft: Draft): Promise<Finding[]> {
  const { database, login, accounts, catalogue, archive, services, proxy } = draft
  const checks: Promise<Finding[]>[] = []
  const secret = (path: Path, file: string | undefined) => {
    if (file !== undefined) checks.push(secretFinding(path, file))
  }
  const readable = (path: Path, file: string | undefined) => {
    if (file !== undefined) checks.push(readableFinding(path, file))
  }
  if (database?.type === 'postgresql') secret(['database', 'passwordFile'], database.passwordFile)
  for (const [name, provider] of Object.entries(login?.providers ?? {})) {
    secret(['login', 'providers', name, 'clientSecretFile'], provider.clientSecretFile)
  }
  for (const [name, one] of Object.entries(login?.passwords ?? {})) {
    if (one.type !== 'ldap' || one.directory === undefined) continue
    secret(['login', 'passwords', name, 'directory', 'passwordFile'], one.directory.passwordFile)
    readable(['login', 'passwords', name, 'directory', 'caFile'], one.directory.caFile)
  }
  for (const [name, { apiTokenFile }] of Object.entries(services ?? {})) {
    checks.push(apiTokenFindings(['services', name, 'apiTokenFile'], apiTokenFile))
  }
  if (accounts?.source === 'ldap') {
    secret(['accounts', 'passwordFile'], accounts.passwordFile)
    readable(['accounts', 'caFile'], accounts.caFile)
  }
  if (catalogue?.type === 'file') readable(['catalogue', 'path'], catalogue.path)
  if (catalogue?.type === 'http') secret(['catalogue', 'tokenFile'], catalogue.tokenFile)
  if (catalogue?.type === 'scicat' || catalogue?.type === 'icat')
    secret(['catalogue', 'reader', 'passwordFile'], catalogue.reader?.passwordFile)
  secret(['archive', 'hook', 'tokenFile'], archive?.hook?.tokenFile)
  readable(['proxy', 'tls', 'certificateFile'], proxy?.tls?.certificateFile)
  secret(['proxy', 'tls', 'keyFile'], proxy?.tls?.keyFile)
  return (await Promise.all(checks)).flat()
}

async function secretFinding(path: Path, file: string): Promise<Finding[]> {
  try {
    await readSecretFile(file)
    return []
  } catch (error) {
    return [{ path, message: error instanceof SecretFileError ? error.message : 'it can not be read' }]
  }
}

const shortestApiToken = 32

/** Whoever guesses it is the service. */
async function apiTokenFindings(path: Path, file: string): Promise<Finding[]> {
  const found = await secretFinding(path, file)
  if (found.length > 0 || isApiToken(await readSecretFile(file))) return found
  const message = `holds no API token: at least ${shortestApiToken} letters, digits, _ or -, as \`openssl rand -hex 32\` makes them`
  return [{ path, message }]
}

const isApiToken = (text: string): boolean => text.length >= shortestApiToken && /^[\w.~-]{1,512}$/.test(text)

async function readableFinding(path: Path, file: string): Promise<Finding[]> {
  return await access(file, constants.R_OK).then(
    () => [],
    () => [{ path, message: 'there is no such file, or the hub may not read it' }],
  )
}
