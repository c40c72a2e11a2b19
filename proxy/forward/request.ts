/** One request as the proxy sees it, before anybody decided anything. */
import { BlockList, isIP } from 'node:net'
import type { Framing } from '../http/framing.ts'
import { joined, lists, MessageError, single, type RequestHead } from '../http/head.ts'
import { parseTarget } from '../http/path.ts'
import type { Client } from './client.ts'

export interface Request {
  readonly id: string
  readonly head: RequestHead
  readonly framing: Framing
  readonly method: string
  readonly path: string
  readonly query: string
  /** The Host field, as the browser wrote it. */
  readonly authority: string
  /** Its name in lower case, without port and without the brackets of IPv6. */
  readonly host: string
  readonly scheme: 'http' | 'https'
  /** The browser's address, as the connection or a trusted proxy says. */
  readonly address: string
  /** The whole way here, for X-Forwarded-For: what a trusted proxy in front said of it, and who connected. */
  readonly way: string
  /** 'websocket' when the request asks for it, in a valid way. */
  readonly upgrade: 'websocket' | undefined
  /** The connection may carry another request after this one. */
  readonly keepAlive: boolean
  /** performance.now() */
  readonly startedAt: number
}

export interface RequestOptions {
  readonly newId: () => string
  readonly trusted: BlockList | undefined
}

/** Throws MessageError. */
export function readRequest(
  client: Pick<Client, 'address' | 'secure'>,
  head: RequestHead,
  framing: Framing,
  { newId, trusted }: RequestOptions,
): Request {
  if (head.method === 'CONNECT' || head.method === 'TRACE') throw new MessageError(405, 'this method is not served')
  const target = parseTarget(head.target)
  const hostField = single(head, 'host')
  if (hostField === undefined && head.minor === 1) throw new MessageError(400, 'the field Host is missing')
  if (target.authority !== undefined && hostField !== undefined && target.authority !== hostField) {
    throw new MessageError(400, 'the request target and the field Host do not agree')
  }
  const isTrusted = trusted !== undefined && isListed(trusted, client.address)
  const said = isTrusted ? forwarded(head) : undefined
  const authority = said?.host ?? hostField ?? ''
  const connection = joined(head, 'connection')
  return {
    id: (isTrusted ? goodId(single(head, 'x-request-id')) : undefined) ?? newId(),
    head,
    framing,
    method: head.method,
    path: target.path,
    query: target.query,
    authority,
    host: hostName(authority),
    scheme: said?.scheme ?? (client.secure ? 'https' : 'http'),
    address: said?.address ?? client.address,
    way: said === undefined || said.way === '' ? client.address : `${said.way}, ${client.address}`,
    upgrade: upgradeOf(head, framing, connection),
    keepAlive: head.minor === 1 ? !lists(connection, 'close') : lists(connection, 'keep-alive'),
    startedAt: performance.now(),
  }
}

/** Throws when an entry is neither an address nor a range. */
export function trustedAddresses(entries: readonly string[]): BlockList | undefined {
  if (entries.length === 0) return undefined
  const list = new BlockList()
  for (const entry of entries) {
    const [, address = '', bits] = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? []
    const version = isIP(address)
    const most = version === 6 ? 128 : 32
    if (version === 0 || Number(bits ?? 0) > most) throw new RangeError(`${entry}: is neither an address nor a range`)
    list.addSubnet(address, Number(bits ?? most), version === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

function isListed(list: BlockList, address: string): boolean {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  return list.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4')
}

interface Forwarded {
  readonly host?: string
  readonly scheme?: 'http' | 'https'
  readonly address?: string
  readonly way: string
}

/** Only what the nearest proxy itself wrote counts: the last of each list. */
function forwarded(head: RequestHead): Forwarded {
  const way = joined(head, 'x-forwarded-for') ?? ''
  const address = way.split(',').at(-1)?.trim() ?? ''
  const scheme = lastOf(joined(head, 'x-forwarded-proto'))
  const host = lastOf(joined(head, 'x-forwarded-host'))
  return {
    way,
    ...(isIP(address) === 0 ? {} : { address }),
    ...(scheme === 'http' || scheme === 'https' ? { scheme } : {}),
    ...(host === undefined || host === '' ? {} : { host }),
  }
}

function lastOf(value: string | undefined): string | undefined {
  return value?.split(',').at(-1)?.trim()
}

function goodId(id: string | undefined): string | undefined {
  return id !== undefined && /^[A-Za-z0-9._-]{1,64}$/.test(id) ? id : undefined
}

/** Empty when it is not a host; refused then, as no route and no hub has that name. */
function hostName(authority: string): string {
  const [, six, name] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]{1,253}))(?::\d{1,5})?$/.exec(authority) ?? []
  return (six ?? name ?? '').toLowerCase()
}

/** Other protocols than WebSocket are not asked for: the server then answers as if nobody had (RFC 9110 7.8). */
function upgradeOf(head: RequestHead, framing: Framing, connection: string | undefined): 'websocket' | undefined {
  if (!lists(connection, 'upgrade') || head.minor === 0) return undefined
  if (joined(head, 'upgrade')?.toLowerCase() !== 'websocket') return undefined
  if (head.method !== 'GET' || framing.kind !== 'none') {
    throw new MessageError(400, 'a WebSocket begins with GET, without a body')
  }
  if (single(head, 'sec-websocket-version') !== '13') throw new MessageError(426, 'only WebSocket version 13 is spoken')
  if (!/^[A-Za-z0-9+/]{22}==$/.test(single(head, 'sec-websocket-key') ?? '')) {
    throw new MessageError(400, 'the key of the WebSocket is not 16 bytes')
  }
  return 'websocket'
}
