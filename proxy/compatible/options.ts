/** The command line of configurable-http-proxy, as JupyterHub and its administrators write it. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { StartError } from '../config.ts'

export interface TlsFiles {
  readonly key?: string
  readonly cert?: string
  readonly ca?: string
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
}

/** For all of them, as configurable-http-proxy has it. */
export interface TlsSettings {
  /** Such as TLSv1_2: this version alone. */
  readonly protocol?: string
  readonly ciphers?: string
  readonly dhparam?: string
}

export type Listen = Readonly<{ host?: string; port: number }> | Readonly<{ path: string }>

export interface CompatibleOptions {
  readonly listen: Listen
  readonly api: Listen
  readonly metrics: Listen | undefined
  readonly tls: TlsFiles | undefined
  readonly apiTls: TlsFiles | undefined
  readonly clientTls: TlsFiles | undefined
  readonly tlsSettings: TlsSettings
  /** Ours: processes that share the port. */
  readonly workers: number
  readonly defaultTarget: string | undefined
  readonly errorTarget: string | undefined
  readonly errorPath: string | undefined
  readonly redirectPort: number | undefined
  readonly redirectTo: number | undefined
  readonly pidFile: string | undefined
  readonly forwardedFields: boolean
  readonly prependPath: boolean
  readonly includePrefix: boolean
  readonly autoRewrite: boolean
  readonly changeOrigin: boolean
  readonly protocolRewrite: string | undefined
  readonly customFields: readonly (readonly [string, string])[]
  readonly insecure: boolean
  readonly hostRouting: boolean
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  readonly timeoutMs: number | undefined
  readonly proxyTimeoutMs: number | undefined
  readonly keepAliveTimeoutMs: number | undefined
  /** Ours: routes are kept in this file. */
  readonly routesFile: string | undefined
  readonly help: boolean
  readonly version: boolean
}

const texts = [
  'ip port socket ssl-key ssl-cert ssl-ca ssl-protocol ssl-ciphers ssl-dhparam',
  'api-ip api-port api-socket api-ssl-key api-ssl-cert api-ssl-ca client-ssl-key client-ssl-cert client-ssl-ca',
  'default-target error-target error-path redirect-port redirect-to pid-file protocol-rewrite',
  'metrics-ip metrics-port metrics-socket log-level timeout proxy-timeout storage-backend keep-alive-timeout',
  'routes-file workers',
].flatMap((line) => line.split(' '))

const flags = [
  'ssl-request-cert ssl-reject-unauthorized ssl-allow-rc4 api-ssl-request-cert api-ssl-reject-unauthorized',
  'client-ssl-request-cert client-ssl-reject-unauthorized no-x-forward no-prepend-path no-include-prefix',
  'auto-rewrite change-origin insecure host-routing help version',
].flatMap((line) => line.split(' '))

export const compatibleUsage = `hutch-proxy --config FILE           as the proxy of Hutch
hutch-proxy [options]                in place of configurable-http-proxy, with its REST API and options:

${[...texts.map((name) => `  --${name} <value>`), ...flags.map((name) => `  --${name}`)].join('\n')}
  --custom-header <name: value>      (may be given several times)

CONFIGPROXY_AUTH_TOKEN holds the token of the REST API, CONFIGPROXY_SSL_KEY_PASSPHRASE and
CONFIGPROXY_API_SSL_KEY_PASSPHRASE open keys that are locked. --routes-file keeps routes over a restart;
--workers is how many processes share the port.
`

/** Throws StartError. */
export function readOptions(args: readonly string[]): CompatibleOptions {
  const { values } = parsed(args)
  const text = (name: string): string | undefined => {
    const value = values[name]
    return typeof value === 'string' ? value : undefined
  }
  const flag = (name: string): boolean => values[name] === true
  const port = number(text('port'), '--port') ?? 8_000
  if (text('storage-backend') !== undefined) {
    throw new StartError('--storage-backend is not supported; --routes-file keeps routes over a restart')
  }
  if (flag('ssl-allow-rc4')) {
    throw new StartError('--ssl-allow-rc4: RC4 is broken, and TLS libraries no longer have it; leave this out')
  }
  for (const prefix of ['', 'api-', 'metrics-']) {
    const other = [`${prefix}ip`, `${prefix}port`].find((name) => text(name) !== undefined)
    if (text(`${prefix}socket`) !== undefined && other !== undefined) {
      throw new StartError(`--${prefix}socket and --${other} can not both be given`)
    }
  }
  const workers = number(text('workers'), '--workers') ?? 1
  if (workers < 1 || workers > 64) throw new StartError(`--workers ${workers}: is not between 1 and 64`)
  if (workers > 1 && text('socket') !== undefined) {
    throw new StartError('--workers needs a port; a unix socket can not be shared')
  }
  if (text('error-target') !== undefined && text('error-path') !== undefined) {
    throw new StartError('--error-target and --error-path can not both be given')
  }
  const tls = tlsFiles('ssl', text, flag)
  if (text('redirect-port') !== undefined && tls === undefined) {
    throw new StartError('--redirect-port needs --ssl-key and --ssl-cert')
  }
  const metricsPort = number(text('metrics-port'), '--metrics-port')
  return {
    listen: place(text('socket'), text('ip'), port),
    api: place(text('api-socket'), text('api-ip') ?? 'localhost', number(text('api-port'), '--api-port') ?? port + 1),
    metrics:
      metricsPort === undefined && text('metrics-socket') === undefined
        ? undefined
        : place(text('metrics-socket'), text('metrics-ip'), metricsPort ?? 0),
    tls,
    apiTls: tlsFiles('api-ssl', text, flag),
    clientTls: tlsFiles('client-ssl', text, flag),
    tlsSettings: tlsSettings(text),
    workers,
    defaultTarget: text('default-target'),
    errorTarget: text('error-target'),
    errorPath: text('error-path'),
    redirectPort: number(text('redirect-port'), '--redirect-port'),
    redirectTo: number(text('redirect-to'), '--redirect-to'),
    pidFile: text('pid-file'),
    forwardedFields: !flag('no-x-forward'),
    prependPath: !flag('no-prepend-path'),
    includePrefix: !flag('no-include-prefix'),
    autoRewrite: flag('auto-rewrite'),
    changeOrigin: flag('change-origin'),
    protocolRewrite: text('protocol-rewrite'),
    customFields: (values['custom-header'] as string[] | undefined)?.map(customField) ?? [],
    insecure: flag('insecure'),
    hostRouting: flag('host-routing'),
    logLevel: level(text('log-level') ?? 'info'),
    timeoutMs: number(text('timeout'), '--timeout'),
    proxyTimeoutMs: number(text('proxy-timeout'), '--proxy-timeout'),
    keepAliveTimeoutMs: number(text('keep-alive-timeout'), '--keep-alive-timeout'),
    routesFile: text('routes-file'),
    help: flag('help'),
    version: flag('version'),
  }
}

function parsed(args: readonly string[]): { values: Record<string, unknown> } {
  const options: ParseArgsOptionsConfig = { 'custom-header': { type: 'string', multiple: true } }
  for (const name of texts) options[name] = { type: 'string' }
  for (const name of flags) options[name] = { type: 'boolean' }
  try {
    return parseArgs({ args: attached(args), options, strict: true })
  } catch (error) {
    throw new StartError(`${(error as Error).message.split('\n', 1)[0]}\nhutch-proxy --help shows what is known`)
  }
}

/** A value may be empty or begin with a dash; parseArgs takes that only behind an equals sign. */
function attached(args: readonly string[]): string[] {
  const joined: string[] = []
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? ''
    const takesValue = arg.startsWith('--') && [...texts, 'custom-header'].includes(arg.slice(2))
    if (takesValue && index + 1 < args.length) {
      index += 1
      joined.push(`${arg}=${args[index]}`)
    } else joined.push(arg)
  }
  return joined
}

function place(socket: string | undefined, ip: string | undefined, port: number): Listen {
  if (socket !== undefined) return { path: socket }
  return ip === undefined || ip === '' || ip === '*' ? { port } : { host: ip, port }
}

function tlsFiles(
  prefix: string,
  text: (name: string) => string | undefined,
  flag: (name: string) => boolean,
): TlsFiles | undefined {
  const [key, cert, ca] = [text(`${prefix}-key`), text(`${prefix}-cert`), text(`${prefix}-ca`)]
  // To servers an authority alone is enough: to trust them.
  if (key === undefined && cert === undefined && (ca === undefined || prefix !== 'client-ssl')) return undefined
  return {
    ...(key === undefined ? {} : { key }),
    ...(cert === undefined ? {} : { cert }),
    ...(ca === undefined ? {} : { ca }),
    requestCert: flag(`${prefix}-request-cert`),
    rejectUnauthorized: flag(`${prefix}-reject-unauthorized`),
  }
}

function tlsSettings(text: (name: string) => string | undefined): TlsSettings {
  const [protocol, ciphers, dhparam] = [text('ssl-protocol'), text('ssl-ciphers'), text('ssl-dhparam')]
  return {
    ...(protocol === undefined ? {} : { protocol }),
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(dhparam === undefined ? {} : { dhparam }),
  }
}

function number(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw new StartError(`${name} ${text}: is not a number`)
  return Number(text)
}

function customField(text: string): readonly [string, string] {
  const [, name, value] = /^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*([\t\x20-\x7e]*?)\s*$/.exec(text) ?? []
  if (name === undefined || value === undefined) throw new StartError(`--custom-header ${text}: is not "name: value"`)
  return [name, value]
}

function level(text: string): CompatibleOptions['logLevel'] {
  const lower = text.toLowerCase()
  if (lower === 'debug' || lower === 'info' || lower === 'warn' || lower === 'error') return lower
  throw new StartError(`--log-level ${text}: is none of debug, info, warn, error`)
}
