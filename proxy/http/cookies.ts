/** Cookies that cross the proxy (RFC 6265). */

/** Every value that a Cookie field gives to this name, in its order; at most `most`. */
export function cookieValues(cookies: string | undefined, name: string, most = 4): string[] {
  const values: string[] = []
  if (cookies === undefined || !cookies.includes(name)) return values
  for (const pair of cookies.split(';')) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === name && values.length < most) values.push(pair.slice(at + 1).trim())
  }
  return values
}

/** The Cookie field without those that `drop` names; undefined when none is left. */
export function cookiesWithout(cookies: string, drop: (name: string) => boolean): string | undefined {
  const kept = cookies.split(';').filter((pair) => {
    const name = (pair.split('=', 1)[0] ?? '').trim()
    return name !== '' && !drop(name)
  })
  return kept.length === 0 ? undefined : kept.map((pair) => pair.trim()).join('; ')
}

/** Cookies of the hub and of the proxy: no environment sees or sets them. */
export function isReservedCookie(name: string): boolean {
  return /^(?:hutch-|__(?:Host|Secure)-hutch)/i.test(name)
}

/** Whether an environment may set this cookie: its own path, no domain, no reserved name. */
export function mayEnvironmentSet(setCookie: string, prefix: string): boolean {
  const [pair = '', ...attributes] = setCookie.split(';')
  const name = (pair.split('=', 1)[0] ?? '').trim()
  // A cookie without a name comes back as its value, which could look like another cookie.
  if (name === '' || !pair.includes('=') || isReservedCookie(name)) return false
  let path: string | undefined
  for (const attribute of attributes) {
    const [key = '', value = ''] = attribute.split('=', 2).map((part) => part.trim())
    if (key.toLowerCase() === 'domain') return false
    // The last one counts in browsers.
    if (key.toLowerCase() === 'path') path = value
  }
  // Without a path that begins with a slash it is the directory of the request, which lies below the prefix.
  if (path === undefined || !path.startsWith('/')) return true
  return path.startsWith(prefix) || `${path}/` === prefix
}
