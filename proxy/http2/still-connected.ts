import type { Socket } from 'node:net'

interface WithHandle {
  readonly _handle?: { getpeername?: (into: object) => number } | null
}

/**
 * Whether the system still knows the other end. Node does not tell it of every connection of HTTP/2: its TLS takes a
 * write that fails at once for one that is under way (nodejs/node#55804), and until that is done HTTP/2 reads nothing,
 * neither a reset nor an end. What `remoteAddress` says was asked once, and is kept.
 */
export function stillConnected(socket: Socket): boolean {
  const { _handle: handle } = socket as unknown as WithHandle
  return handle !== null && (handle?.getpeername?.({}) ?? 0) === 0
}
