/**
 * A bar in the corner of whatever page of an environment loads this: what ends it and when, one click to stay, and a
 * login that runs out, renewed in a window of its own. It asks the agent, and only while the page can be seen.
 */
const door = new URL('..', import.meta.url)
const askEveryMs = 30_000
const askSoonMs = 5_000
/** The last warning: what is not saved is saved now. */
const lastMs = 120_000
/** Whoever closed the bar sees it again when so little is left. */
const againMs = [600_000, lastMs]

const style = `
:host { all: initial; }
section { position: fixed; left: 50%; bottom: 2.25rem; translate: -50%; z-index: 100000; display: grid; gap: 0.5rem;
  box-sizing: border-box; width: min(36rem, calc(100vw - 2rem)); font: 14px/1.4 system-ui, sans-serif; color-scheme: light dark; }
section[hidden] { display: none; }
div { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 0.75rem; padding: 0.6rem 0.6rem 0.6rem 0.9rem;
  border: 1px solid light-dark(#b3862b, #8a6a25); border-radius: 8px; background: light-dark(#fff8e8, #2b2416);
  color: light-dark(#2b2312, #f3e8cf); box-shadow: 0 4px 16px rgb(0 0 0 / 25%); }
p { flex: 1 1 14rem; margin: 0; font-variant-numeric: tabular-nums; }
button, a { flex: none; font: inherit; font-weight: 600; cursor: pointer; border-radius: 6px; text-decoration: none; }
.main { padding: 0.35rem 0.8rem; border: 1px solid transparent; background: light-dark(#0f6b5e, #5fc4b3);
  color: light-dark(#fff, #10201d); }
button:not(.main) { width: 2rem; height: 2rem; border: 0; background: none; color: inherit; font-size: 1.2rem; }
:focus-visible { outline: 2px solid light-dark(#0b57b0, #79b8ff); outline-offset: 2px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media print { section { display: none; } }
`

let known
let knownAt = 0
let timer
let savedFor
let save = async () => undefined
const closed = new Map()
const channel = new BroadcastChannel('hutch-notices')

/** What saves everything that is open here; it may reject. */
export function beforeTheEnd(work) {
  save = work
  void look()
}

const bar = makeBar()

async function ask() {
  clearTimeout(timer)
  timer = undefined
  if (document.hidden) return
  try {
    const answer = await fetch(new URL('notices', door), { credentials: 'same-origin', cache: 'no-store' })
    if (answer.ok) {
      known = await answer.json()
      knownAt = performance.now()
    }
  } catch {
    // What is known still counts; it is asked again.
  }
  void look()
  timer = setTimeout(() => void ask(), bar.isShown() ? askSoonMs : askEveryMs)
}

const left = (one) => (one === undefined ? Infinity : one.inMs - (performance.now() - knownAt))

async function look() {
  if (known === undefined) return
  const { ends, login, warnMs, loginWarnMs } = known
  const [endsMs, loginMs] = [left(ends), left(login)]
  bar.show([
    ...(endsMs < warnMs && isOpen('ends', endsMs) ? [endLine(ends, endsMs)] : []),
    ...(known.renewUrl !== undefined && loginMs < loginWarnMs && isOpen('login', loginMs) ? [loginLine(loginMs)] : []),
  ])
  // Once for each end: one that was moved is another.
  const end = Math.round((performance.now() + endsMs) / 60_000)
  if (endsMs < lastMs && endsMs > 0 && (savedFor === undefined || Math.abs(savedFor - end) > 1)) {
    savedFor = end
    await save().catch(() => undefined)
  }
}

/** Closed by hand: until less is left, or its end was moved and comes near again. */
function isOpen(name, ms) {
  const at = closed.get(name)
  if (at !== undefined && ms > at + 30_000) closed.delete(name)
  return !closed.has(name) || againMs.some((each) => at > each && ms <= each)
}

function endLine({ cause, why, canExtend }, ms) {
  const when = ms > 0 ? `in ${words(ms)}` : 'now'
  const text =
    cause === 'idle' ? `Unused, this environment is stopped ${when}.` : `This environment ends ${when}. ${why}`.trim()
  const action =
    cause === 'idle'
      ? known.canStay !== false && { label: 'Keep it running', run: stay }
      : known.timeUrl !== undefined && {
          label: canExtend ? 'Make its time longer' : 'Details',
          href: known.timeUrl,
          window: 'hutch-time',
        }
  return { name: 'ends', ms, text, action }
}

function loginLine(ms) {
  const text = ms > 0 ? `Your login ends in ${words(ms)}.` : 'Your login is over. What runs goes on.'
  return { name: 'login', ms, text, action: { label: 'Stay logged in', href: known.renewUrl, window: 'hutch-renew' } }
}

async function stay() {
  const answer = await fetch(new URL('stay', door), { method: 'POST', credentials: 'same-origin' }).catch(
    () => undefined,
  )
  if (answer?.ok) closed.set('ends', left(known.ends))
  void look()
  // The hub hears of it from the agent in a moment.
  setTimeout(() => void ask(), 2_000)
}

function words(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 90) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 90 ? `${minutes} min` : `${Number((minutes / 60).toFixed(1))} h`
}

function makeBar() {
  const host = document.createElement('hutch-notices')
  const root = host.attachShadow({ mode: 'open' })
  const sheet = new CSSStyleSheet()
  sheet.replaceSync(style)
  root.adoptedStyleSheets = [sheet]
  const box = document.createElement('section')
  box.setAttribute('aria-label', 'Time of this environment')
  box.hidden = true
  root.append(box)
  const place = () => document.body.append(host)
  if (document.body) place()
  else addEventListener('DOMContentLoaded', place)
  const shown = new Map()

  function draw({ name, text, action }) {
    const line = document.createElement('div')
    const said = document.createElement('p')
    // Told once; a countdown that is read out each second would be a plague.
    const alert = document.createElement('span')
    alert.className = 'hidden'
    alert.setAttribute('role', 'status')
    const button = document.createElement(action && action.href === undefined ? 'button' : 'a')
    button.hidden = !action
    const closer = document.createElement('button')
    said.setAttribute('aria-hidden', 'true')
    button.className = 'main'
    closer.type = 'button'
    closer.textContent = '×'
    closer.setAttribute('aria-label', 'Close')
    closer.addEventListener('click', () => {
      closed.set(name, left(known[name]))
      void look()
    })
    button.addEventListener('click', (event) => {
      const now = shown.get(name)?.action
      if (now?.run) return void now.run()
      if (now?.href && window.open(now.href, now.window, 'popup,width=560,height=720')) event.preventDefault()
    })
    line.append(said, alert, button, closer)
    // Live regions speak of what changes in them, not of what comes with them.
    setTimeout(() => (alert.textContent = text), 100)
    return { line, said, button }
  }

  return {
    isShown: () => !box.hidden,
    show(lines) {
      for (const [name, { line }] of shown) {
        if (lines.some((each) => each.name === name)) continue
        line.remove()
        shown.delete(name)
      }
      for (const [index, each] of lines.entries()) {
        const drawn = shown.get(each.name) ?? draw(each)
        shown.set(each.name, { ...drawn, action: each.action })
        const { line, said, button } = drawn
        if (box.children[index] !== line) box.insertBefore(line, box.children[index] ?? null)
        if (said.textContent !== each.text) said.textContent = each.text
        if (!each.action) continue
        if (button.textContent !== each.action.label) button.textContent = each.action.label
        if (each.action.href !== undefined)
          Object.assign(button, { href: each.action.href, target: '_blank', rel: 'noopener' })
      }
      box.hidden = shown.size === 0
    },
  }
}

channel.addEventListener('message', () => void ask())
document.addEventListener('visibilitychange', () => void ask())
addEventListener('focus', () => void ask())
setInterval(() => !document.hidden && void look(), 1_000)
void ask()
