/** A target as configurable-http-proxy writes it: http://…, https://…, or http+unix://%2Fpath. */
import type { Target } from '../feed.ts'

/** `base` is the target's own path, without a slash behind it. Throws when it is none of these. */
export function targetOf(text: string): { target: Target; base: string; authority: string } {
  const url = new URL(text)
  const base = url.pathname.replace(/\/+$/, '')
  if (/^(?:http\+unix|unix\+http):$/.test(url.protocol)) {
    return { target: { kind: 'unix', path: decodeURIComponent(url.host) }, base, authority: 'localhost' }
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error(`${text}: is not http, https or http+unix`)
  return { target: { kind: 'http', url: text }, base, authority: url.host }
}
