/** *.localhost is this machine (RFC 6761), as browsers know; not every machine's name service does. */
import { lookup as ask } from 'node:dns'
import type { LookupFunction } from 'node:net'

export const lookupLocal: LookupFunction = (hostname, options, done) => {
  if (!hostname.endsWith('.localhost')) return ask(hostname, options, done)
  if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }])
  else done(null, '127.0.0.1', 4)
}
