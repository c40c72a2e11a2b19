/** As much of a browser as logins need: cookies by host and path, redirects one by one, Sec-Fetch-Site and Origin. */
import { Agent, request } from 'undici'
import { lookupLocal } from './localhost.ts'

export interface Jar {
  /** A navigation, redirects followed. `trail` has every address on the way. */
  open(url: string, options?: OpenOptions): Promise<Page>
  /** One request without following. */
  ask(url: string, options?: AskOptions): Promise<Page>
  cookie(name: string): string | undefined
  /** The Cookie header for this address. */
  header(url: string): string
  /** Every cookie's name. */
  names(): string[]
  set(name: string, value: string, path?: string): void
  delete(name: string): void
  /** Another browser with the same cookies. */
  copy(): Jar
}

interface AskOptions {
  readonly method?: string
  readonly form?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
}
interface OpenOptions extends AskOptions {
  /** Stops before the first address for which this is true, and gives it as `url`. */
  readonly until?: (url: URL) => boolean
}

export interface Page {
  readonly url: string
  readonly status: number
  readonly text: string
  readonly headers: Headers
  readonly trail: readonly string[]
}

interface Cookie {
  readonly name: string
  readonly value: string
  readonly host: string
  readonly path: string
}

const mostRedirects = 20

/** `always`: headers of every request. */
export function createJar(kept: readonly Cookie[] = [], always: Readonly<Record<string, string>> = {}): Jar {
  let cookies = [...kept]
  const dispatcher = new Agent({ connect: { lookup: lookupLocal } })

  function header(url: URL): string {
    return cookies
      .filter(({ host, path }) => host === url.hostname && url.pathname.startsWith(path))
      .toSorted((a, b) => b.path.length - a.path.length)
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ')
  }

  function keep(url: URL, line: string): void {
    const [pair = '', ...attributes] = line.split(/; */)
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
    const of = (wanted: string) =>
      attributes.find((one) => one.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1)
    const path = of('path') ?? '/'
    cookies = cookies.filter((one) => one.name !== name || one.host !== url.hostname || one.path !== path)
    const expires = of('expires')
    const over = of('max-age') === '0' || (expires !== undefined && Date.parse(expires) < Date.now())
    if (!over) cookies.push({ name, value, host: url.hostname, path })
  }

  async function ask(address: string, { method = 'GET', form, headers = {} }: AskOptions = {}): Promise<Page> {
    const url = new URL(address)
    const sent = new Headers({ accept: 'text/html', 'user-agent': 'test browser', ...always, ...headers })
    const cookie = header(url)
    if (cookie !== '') sent.set('cookie', cookie)
    if (method !== 'GET' && !sent.has('sec-fetch-site') && !sent.has('origin')) {
      sent.set('sec-fetch-site', 'same-origin')
      sent.set('origin', url.origin)
    }
    // Not fetch: it says sec-fetch-mode: cors, and these are navigations.
    if (!sent.has('sec-fetch-mode')) sent.set('sec-fetch-mode', 'navigate')
    if (form) sent.set('content-type', 'application/x-www-form-urlencoded')
    const response = await request(url, {
      dispatcher,
      method,
      headers: Object.fromEntries(sent),
      body: form ? new URLSearchParams(form).toString() : null,
      signal: AbortSignal.timeout(60_000),
    })
    const received = new Headers()
    for (const [name, value = ''] of Object.entries(response.headers)) {
      for (const each of [value].flat()) received.append(name, each)
    }
    for (const line of received.getSetCookie()) keep(url, line)
    const text = await response.body.text()
    return { url: url.href, status: response.statusCode, text, headers: received, trail: [url.href] }
  }

  async function open(address: string, { until = () => false, ...first }: OpenOptions = {}): Promise<Page> {
    const trail = [new URL(address).href]
    let page = await ask(address, first)
    for (let hops = 0; hops < mostRedirects; hops += 1) {
      const location = page.headers.get('location')
      if (location === null) return { ...page, trail }
      const next = new URL(location, page.url)
      trail.push(next.href)
      if (until(next)) return { ...page, url: next.href, trail }
      page = await ask(next.href)
    }
    throw new Error(`more than ${mostRedirects} redirects: ${trail.join(' → ')}`)
  }

  return {
    ask,
    open,
    cookie: (name) => cookies.find((one) => one.name === name)?.value,
    header: (url) => header(new URL(url)),
    names: () => cookies.map(({ name }) => name),
    set(name, value, path = '/hub/') {
      cookies = cookies.filter((one) => one.name !== name)
      cookies.push({ name, value, host: '127.0.0.1', path })
    },
    delete(name) {
      cookies = cookies.filter((one) => one.name !== name)
    },
    copy: () => createJar(cookies),
  }
}
