/** A person at a Chromium of their own: logs in, launches, and asks the hub from the hub's own pages. */
import type { Browser, Page } from 'playwright-core'
import { visitor } from './browser.ts'
import type { RunningHutch } from './hutch.ts'

export interface Person {
  /** The tab that stays on the hub. */
  readonly hub: Page
  /** JSON from the hub's API, asked by the hub's page. */
  api(method: string, path: string, body?: object): Promise<{ status: number; body: unknown }>
  launch(profile: string, title: string): Promise<string>
  /** Opens it in a tab of its own, by way of the waiting page. */
  open(id: string): Promise<Page>
}

/** One of the demo people. */
export async function personAt(browser: Browser, hutch: RunningHutch, name: string): Promise<Person> {
  const password = (await hutch.passwords())[name] ?? ''
  return await personBy(browser, hutch.url, name, async (hub) => {
    await hub.getByRole('link', { name: 'Demo people' }).click()
    await hub.getByLabel('User name').fill(name)
    await hub.getByLabel('Password').fill(password)
    await hub.getByRole('button', { name: 'Log in' }).click()
  })
}

/** `logIn` begins at the hub's own address, and ends wherever the hub then leads. */
export async function personBy(
  browser: Browser,
  url: string,
  name: string,
  logIn: (hub: Page) => Promise<void>,
): Promise<Person> {
  const { page: hub } = await visitor(browser, { ignoreHTTPSErrors: true })
  await hub.goto(url)
  await logIn(hub)
  await hub.waitForURL(/\/hub\/home/).catch(async (error: unknown) => {
    const text = await hub.locator('body').innerText()
    throw new Error(`the login of ${name} ended at ${hub.url()}: ${text.slice(0, 500)}`, { cause: error })
  })

  const api: Person['api'] = async (method, path, body) => {
    const answer = await hub.evaluate(
      async ([method, path, body]) => {
        const headers = body === undefined ? undefined : { 'content-type': 'application/json' }
        const response = await fetch(`/hub/api/v1${path}`, { method, ...(headers && { headers, body: body ?? '' }) })
        return { status: response.status, text: await response.text() }
      },
      [method, path, body === undefined ? undefined : JSON.stringify(body)] as const,
    )
    return { status: answer.status, body: answer.text === '' ? undefined : JSON.parse(answer.text) }
  }

  return {
    hub,
    api,
    async launch(profile, title) {
      const choices = { profile, flavour: 'small', proposals: [], title }
      const { status, body } = await api('POST', '/environments', choices)
      if (status !== 201) throw new Error(`the launch was answered with ${status}: ${JSON.stringify(body)}`)
      return (body as { id: string }).id
    },
    async open(id) {
      const page = await hub.context().newPage()
      await page.goto(`${url}/hub/environments/${id}`)
      await page.waitForURL(new RegExp(`/user/${name}/${id}/(?!_hutch/enter)`), { timeout: 300_000 })
      return page
    },
  }
}
