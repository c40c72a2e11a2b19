/** The pages that were asked for last, of anything that a catalogue lists. */
export interface Remembered {
  readonly items: readonly unknown[]
  readonly total: number
}

export interface Memory<Page extends Remembered> {
  get(key: string): (Page & { readonly asOf: Date }) | undefined
  set(key: string, page: Page): void
}

const keepMs = 24 * 3_600_000
/** Items over all pages: about 50 MB. */
const mostRemembered = 50_000

/** `now`: ms since the epoch. */
export function createMemory<Page extends Remembered>(now: () => number): Memory<Page> {
  const pages = new Map<string, Page & { readonly asOf: Date }>()
  let held = 0
  const weight = ({ items }: Remembered): number => 1 + items.length

  function forget(key: string): void {
    const page = pages.get(key)
    if (page === undefined) return
    pages.delete(key)
    held -= weight(page)
  }

  return {
    get(key) {
      const page = pages.get(key)
      if (page !== undefined && Math.abs(now() - page.asOf.getTime()) > keepMs) forget(key)
      return pages.get(key)
    },
    set(key, page) {
      forget(key)
      pages.set(key, { ...page, asOf: new Date(now()) })
      held += weight(page)
      for (const oldest of pages.keys()) {
        if (held <= mostRemembered) break
        forget(oldest)
      }
    },
  }
}
