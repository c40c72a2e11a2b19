/** A scientist without a browser: logs in, launches, enters and works through the proxy, as pages and JupyterLab do. */
import { WebSocket } from 'ws'
import { createJar, type Jar, type Page } from './browser-jar.ts'
import { lookupLocal } from './localhost.ts'
import { until } from './until.ts'

export interface Launched {
  readonly id: string
  /** The environment's own address, with its prefix; ends with a slash. */
  readonly url: string
}

export interface Scientist {
  readonly jar: Jar
  /** JSON from the hub's API for pages; the caller says what it is. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  api<T>(method: string, path: string, body?: object): Promise<{ status: number; body: T }>
  launch(choices: {
    profile: string
    flavour: string
    proposals?: readonly string[]
    options?: Readonly<Record<string, string>>
    title?: string
  }): Promise<Launched>
  /** Waits until the hub says that it is ready, then opens it in this jar: the cookie for it is there afterwards. */
  enter(launched: Launched): Promise<Page>
  state(id: string): Promise<string>
  socket(launched: Launched, path: string): WebSocket
}

const waitMs = 180_000

export async function logInAs(hubUrl: string, name: string, password: string): Promise<Scientist> {
  const jar = createJar()
  const form = await jar.open(`${hubUrl}/hub/login/demo?next=/hub/home`)
  const action = /<form[^>]*action="([^"]+)"/.exec(form.text)?.[1] ?? ''
  const home = await jar.open(new URL(action, form.url).href, { method: 'POST', form: { name, password } })
  if (!home.url.endsWith('/hub/home') && !home.trail.some((url) => url.endsWith('/hub/home'))) {
    throw new Error(`the login of ${name} ended at ${home.trail.join(' → ')} with ${home.status}`)
  }
  return scientistWith(jar, hubUrl, name)
}

/** Somebody who is logged in already, perhaps at another hub of the same installation. */
export function scientistWith(jar: Jar, hubUrl: string, name: string): Scientist {
  const api: Scientist['api'] = async (method, path, body) => {
    const cookie = jar.cookie('hutch-login') ?? ''
    const response = await fetch(`${hubUrl}/hub/api/v1${path}`, {
      method,
      headers: {
        cookie: `hutch-login=${cookie}`,
        accept: 'application/json',
        origin: hubUrl,
        'sec-fetch-site': 'same-origin',
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  const state = async (id: string): Promise<string> => {
    const { body } = await api<{ state?: string | { is: string } }>('GET', `/environments/${id}`)
    return typeof body.state === 'string' ? body.state : (body.state?.is ?? 'none')
  }

  return {
    jar,
    api,
    state,
    async launch(choices) {
      const { status, body } = await api<{ id: string; url: string }>('POST', '/environments', {
        proposals: [],
        ...choices,
      })
      if (status >= 300) throw new Error(`the launch was answered with ${status}: ${JSON.stringify(body)}`)
      return { id: body.id, url: new URL(`/user/${name}/${body.id}/`, body.url).href }
    },
    async enter(launched) {
      await until(
        `${launched.id} is ready`,
        async () => {
          const now = await state(launched.id)
          if (now === 'ended') throw new Error(JSON.stringify((await api('GET', `/environments/${launched.id}`)).body))
          return now === 'ready'
        },
        { timeoutMs: waitMs, everyMs: 50 },
      )
      const page = await jar.open(launched.url)
      const [, target = ''] = /<form id="enter"[^>]*action="([^"]+)"/.exec(page.text) ?? []
      const field = (each: string): string => new RegExp(`name="${each}" value="([^"]*)"`).exec(page.text)?.[1] ?? ''
      return await jar.open(target, {
        method: 'POST',
        form: { ticket: field('ticket'), next: field('next') },
        headers: { origin: hubUrl, 'sec-fetch-site': 'same-origin' },
      })
    },
    socket(launched, path) {
      const url = new URL(path, launched.url)
      url.protocol = 'ws:'
      // Of its own page, as a browser says it; the hub's origin is foreign where environments have hosts of their own.
      const headers = { cookie: jar.header(launched.url), origin: new URL(launched.url).origin }
      return new WebSocket(url, { headers, lookup: lookupLocal })
    },
  }
}

/** What the hub says of an environment that is over. */
export interface Told {
  readonly state: string
  readonly reason?: string
  readonly message?: string
}

export async function isOver(who: Scientist, { id }: Pick<Launched, 'id'>): Promise<Told> {
  return await until(
    `${id} is over`,
    async () => {
      const { body } = await who.api<Told>('GET', `/environments/${id}`)
      return body.state === 'ended' ? body : undefined
    },
    { timeoutMs: 300_000 },
  )
}
