import type { ExecutionContext } from 'ava'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { available, program } from './component.ts'

/** A real Chromium without its background traffic; closed when the test ends. Undefined: skipped, and said so. */
export async function browser(t: ExecutionContext): Promise<Browser | undefined> {
  const executablePath = program('chromium') ?? program('google-chrome')
  if (!available(t, 'Chromium', executablePath, 'apt-get install chromium')) return undefined
  const launched = await chromium.launch({
    ...(executablePath === undefined ? {} : { executablePath }),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  t.teardown(() => launched.close())
  return launched
}

/** A fresh visitor: cookies of their own, every page's uncaught errors collected. */
export async function visitor(
  opened: Browser,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; errors: string[] }> {
  const context = await opened.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  context.setDefaultTimeout(60_000)
  const page = await context.newPage()
  const errors: string[] = []
  context.on('weberror', (error) => errors.push(String(error.error())))
  return { page, errors }
}
