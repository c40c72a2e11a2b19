// The home page, live: the server draws the list, this script puts it in place and keeps the figures moving.
import { follow } from './follow.js'
import { bytes, refreshTimes } from './times.js'

const list = document.querySelector('#environments')
const status = document.querySelector('#live-status')
let pending = false

/** Somebody is typing a name or answering a question: the list must not move under their hands. */
const isBusy = () => list.querySelector('[popover]:popover-open') !== null

async function redraw() {
  if (isBusy()) {
    pending = true
    return
  }
  pending = false
  const answer = await fetch('/hub/home/environments', { headers: { Accept: 'text/html' } })
  if (!answer.ok || answer.redirected || isBusy()) return
  const focused = document.activeElement?.id
  const opened = new Set([...list.querySelectorAll('details[open]')].map((each) => keyOf(each)))
  list.innerHTML = await answer.text()
  for (const each of list.querySelectorAll('details')) each.open = opened.has(keyOf(each))
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus()
  refreshTimes(list)
}

const keyOf = (element) => element.closest('[data-environment]')?.dataset.environment

list.addEventListener('toggle', () => pending && !isBusy() && void redraw(), true)

function announce(before, items) {
  const old = new Map(before.map((each) => [each.id, each.state]))
  const news = items.filter((each) => old.get(each.id) !== each.state)
  if (news.length > 0) status.textContent = news.map((each) => `${each.title}: ${each.stateTitle}`).join('. ')
}

let last
follow('/hub/api/v1/events', {
  environments({ version, items }) {
    if (last !== undefined) announce(last, items)
    last = items
    if (list.querySelector('[data-version]')?.dataset.version !== version) void redraw()
  },
  usage(usage) {
    for (const [id, figures] of Object.entries(usage)) {
      const card = list.querySelector(`[data-environment="${CSS.escape(id)}"]`)
      if (!card) continue
      show(card, 'cpu', figures.cpu, (value) => String(Number(value.toFixed(value < 10 ? 1 : 0))))
      show(card, 'memoryBytes', figures.memoryBytes, bytes)
    }
  },
})

function show(card, name, value, format) {
  const text = card.querySelector(`[data-usage="${name}"]`)
  const meter = card.querySelector(`[data-meter="${name}"]`)
  if (text) text.textContent = value === undefined ? '–' : format(value)
  if (meter) meter.value = value ?? 0
}
