/** The certificates and settings of configurable-http-proxy's --ssl-*, --api-ssl-* and --client-ssl-*. */
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContextOptions, type TlsOptions } from 'node:tls'
import { codeOf, StartError } from '../config.ts'
import type { TargetTls } from '../forward/connect.ts'
import type { TlsFiles, TlsSettings } from './options.ts'

/** Throws StartError. `passphrase`: of the key. */
export async function readTls(
  files: TlsFiles | undefined,
  settings: TlsSettings,
  passphrase?: string,
): Promise<TargetTls & SecureContextOptions> {
  if (files === undefined) return {}
  const [key, cert, ca, dhparam] = [
    await read(files.key),
    await read(files.cert),
    await read(files.ca),
    await read(settings.dhparam),
  ]
  // Node takes a file without any, and leaves them out.
  if (dhparam !== undefined && !dhparam.includes('-----BEGIN DH PARAMETERS-----')) {
    throw new StartError(`--ssl-dhparam ${settings.dhparam}: holds no parameters`)
  }
  const options = {
    ...(key === undefined ? {} : { key }),
    ...(cert === undefined ? {} : { cert }),
    ...(ca === undefined ? {} : { ca }),
    ...(dhparam === undefined ? {} : { dhparam }),
    ...(passphrase === undefined || passphrase === '' ? {} : { passphrase }),
    ...(settings.ciphers === undefined ? {} : { ciphers: settings.ciphers, honorCipherOrder: true }),
    ...(settings.protocol === undefined ? {} : { secureProtocol: `${settings.protocol}_method` }),
  }
  try {
    createSecureContext(options)
  } catch (error) {
    throw new StartError(mistake(files, settings, codeOf(error)))
  }
  return options
}

/** Whether, and how strictly, clients are asked for a certificate of their own. */
export function askedOfClients({ requestCert, rejectUnauthorized }: TlsFiles): TlsOptions {
  return { requestCert, rejectUnauthorized: requestCert && rejectUnauthorized }
}

async function read(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  return await readFile(file).catch((error: unknown) => {
    throw new StartError(`${file}: can not be read (${codeOf(error)})`)
  })
}

function mistake({ key, cert, ca }: TlsFiles, { protocol, ciphers, dhparam }: TlsSettings, code: string): string {
  if (/PROTOCOL|WRONG_SSL_VERSION/.test(code)) return `--ssl-protocol ${protocol}: is not spoken here (${code})`
  if (/CIPHER/.test(code)) return `--ssl-ciphers ${ciphers}: names no cipher that is known here (${code})`
  if (/DH/.test(code)) return `--ssl-dhparam ${dhparam}: holds no parameters (${code})`
  if (/DECRYPT|PASSPHRASE|PASSWORD/i.test(code)) {
    return `${key}: is locked; CONFIGPROXY_SSL_KEY_PASSPHRASE (or CONFIGPROXY_API_SSL_KEY_PASSPHRASE) opens it (${code})`
  }
  return `${cert ?? ca ?? key}: is no certificate with its key (${code})`
}
