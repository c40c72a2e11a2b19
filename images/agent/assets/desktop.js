/* The desktop's page: noVNC on a WebSocket that comes back by itself, with a bar of what a browser can't do alone. */
import { RFB } from './novnc.js'
import { createClipboard, createKeys } from './desktop-keys.js'
import { createFilesPanel } from './desktop-files.js'

const closed = { stopping: 1001, notRfb: 4400, tooMany: 4429, away: 4502 }
const qualities = { sharp: [9, 1], balanced: [6, 2], lean: [2, 8] }
const kept = 'hutch-desktop'
const toastMs = 6_000
const mostBlankMs = 3_000

const element = (id) => document.getElementById(id)
/** Tells this window from others of the same person. */
const ownWindow = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
  byte.toString(16).padStart(2, '0'),
).join('')
const settings = { quality: 'balanced', size: 'window', layout: '', ...readSettings() }
let rfb
let attempts = 0
let timer
let looksOnly = false
let openPanel
/** The environment said so: until it is back, that is why nothing answers. */
let isStopping = false

const desktop = {
  current: () => rfb,
  mayAct: () => rfb !== undefined && !looksOnly,
  toast,
}
const clipboard = createClipboard(desktop)
const keys = createKeys(desktop)
const files = createFilesPanel(desktop, () => show('files'))

connect()
followPeople()
wireBar()
wireView()
addEventListener('online', hurry)
document.addEventListener('visibilitychange', () => document.hidden || hurry())

function connect() {
  clearTimeout(timer)
  timer = undefined
  say(attempts === 0 ? 'connecting' : 'lost', attempts === 0 ? 'Connecting to the desktop…' : 'Connecting again…')
  const address = new URL(`ws?window=${ownWindow}`, location.href)
  address.protocol = address.protocol.replace('http', 'ws')
  const socket = new WebSocket(address)
  socket.binaryType = 'arraybuffer'
  const own = new RFB(element('screen'), socket, { shared: true })
  let code
  socket.addEventListener('close', (event) => (code = event.code))
  own.background = 'transparent'
  own.focusOnClick = true
  own.scaleViewport = true
  apply(own)
  own.addEventListener('connect', () => {
    rfb = own
    attempts = 0
    isStopping = false
    const canvas = element('screen').querySelector('canvas')
    canvas?.setAttribute('aria-label', 'The desktop. Ctrl+Shift+Period leaves it.')
    canvas?.setAttribute('role', 'application')
    if (openPanel === undefined) own.focus()
    whenDrawn(own, () => say('connected', ''))
  })
  own.addEventListener('clipboard', ({ detail }) => clipboard.arrived(detail.text))
  own.addEventListener('disconnect', () => {
    if (rfb === own) rfb = undefined
    keys.released()
    // noVNC tells before the socket's own event has come.
    setTimeout(() => lost(code), 0)
  })
}

/** Connected is not drawn: until there is a first pixel, what is shown is that it is coming. */
function whenDrawn(own, then) {
  const canvas = element('screen').querySelector('canvas')
  const until = performance.now() + mostBlankMs
  const look = () => {
    if (rfb !== own) return
    const isDrawn = canvas === null || canvas.getContext('2d').getImageData(0, 0, 1, 1).data[3] !== 0
    if (isDrawn || performance.now() > until) then()
    else setTimeout(look, 30)
  }
  look()
}

function lost(code) {
  if (code === closed.tooMany) return over('There are too many windows of this desktop: close one first.')
  if (code === closed.notRfb) return over('The desktop answered something that this page does not understand.')
  attempts += 1
  const ms = Math.min(10_000, 250 * 2 ** Math.min(attempts, 6)) * (0.75 + Math.random() / 2)
  isStopping ||= code === closed.stopping
  if (isStopping) say('lost', 'This environment was stopped.', 'Try again')
  else {
    const what = code === closed.away ? 'The desktop does not answer.' : 'The connection is lost.'
    say('lost', `${what} Nothing in the desktop is lost. Connecting again…`)
  }
  timer = setTimeout(connect, ms)
  if (attempts >= 3 || isStopping) void askWhy()
}

/** A refused WebSocket does not say why: the page itself does. One that is too busy to answer (503) has not ended. */
async function askWhy() {
  const answer = await fetch(location.href, { redirect: 'manual', cache: 'no-store' }).catch(() => undefined)
  if (answer === undefined || rfb !== undefined) return
  if (answer.type === 'opaqueredirect' || [401, 403].includes(answer.status)) {
    over('You are no longer let in here.', 'Load the page again', () => location.reload())
  } else if (answer.status === 404) {
    over('This environment has ended.', 'Load the page again', () => location.reload())
  }
}

function over(text, label = 'Connect now', action = hurry) {
  clearTimeout(timer)
  say('over', text, label, action)
}

function say(state, text, label, action) {
  document.body.dataset.state = state
  element('status').textContent = text
  const again = element('again')
  again.hidden = state !== 'lost' && state !== 'over'
  again.textContent = label ?? 'Connect now'
  again.onclick = action ?? hurry
}

function hurry() {
  if (rfb !== undefined || document.body.dataset.state === 'connecting') return
  if (document.body.dataset.state === 'over') attempts = 0
  if (timer !== undefined || document.body.dataset.state === 'over') connect()
}

function apply(to) {
  const [quality, compression] = qualities[settings.quality] ?? qualities.balanced
  to.qualityLevel = quality
  to.compressionLevel = compression
  to.viewOnly = looksOnly
  to.resizeSession = !looksOnly && settings.size === 'window'
}

/** Who is here, and who I am: told at once and at each change. EventSource connects again by itself. */
function followPeople() {
  new EventSource(`who?window=${ownWindow}`).addEventListener('message', ({ data }) => {
    const { people, you, notebook } = JSON.parse(data)
    looksOnly = you.looksOnly
    if (rfb) apply(rfb)
    element('looking').hidden = !looksOnly
    for (const part of document.querySelectorAll('[data-needs=control]')) part.hidden = looksOnly
    element('lab').hidden = !notebook
    const count = element('count')
    count.hidden = people.length < 2
    count.textContent = String(people.length)
    element('people-list').replaceChildren(
      ...people.map(({ name, looksOnly: onlyLooks, isYou }) => {
        const item = document.createElement('li')
        const [who, how] = [document.createElement('span'), document.createElement('span')]
        who.textContent = isYou ? `${name} (this window)` : name
        how.className = 'quiet'
        how.textContent = onlyLooks ? 'looks on' : 'works here'
        item.append(who, ' ', how)
        return item
      }),
    )
  })
}

function wireBar() {
  for (const button of document.querySelectorAll('[data-panel]')) {
    button.setAttribute('aria-expanded', 'false')
    button.setAttribute('aria-controls', button.dataset.panel)
    element(button.dataset.panel).tabIndex = -1
    button.addEventListener('click', () =>
      openPanel === button.dataset.panel ? hide(true) : show(button.dataset.panel),
    )
  }
  element('screen').addEventListener('pointerdown', () => hide(false), true)
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && openPanel !== undefined && !element('screen').contains(event.target)) hide(true)
  })
  // Before noVNC, which takes every key: who uses no mouse needs a way out.
  addEventListener(
    'keydown',
    (event) => {
      if (!event.ctrlKey || !event.shiftKey || event.code !== 'Period') return
      event.preventDefault()
      event.stopImmediatePropagation()
      document.querySelector('#tools button:not([hidden])').focus()
    },
    true,
  )
  element('full').addEventListener('click', toggleFull)
  document.addEventListener('fullscreenchange', () => {
    const label = document.fullscreenElement ? 'Leave full screen' : 'Full screen'
    element('full').title = label
    element('full').querySelector('.label').textContent = label
  })
}

async function toggleFull() {
  if (document.fullscreenElement) return void document.exitFullscreen()
  try {
    await document.documentElement.requestFullscreen()
    // Esc, Alt+Tab and the like go to the desktop where the browser allows it.
    await navigator.keyboard?.lock?.()
  } catch {
    toast('Your browser does not allow full screen here.')
  }
  rfb?.focus()
}

function show(name) {
  hide(false)
  openPanel = name
  const panel = element(name)
  panel.hidden = false
  buttonOf(name).setAttribute('aria-expanded', 'true')
  ;(panel.querySelector('textarea, select, button') ?? panel).focus()
  if (name === 'files') files.opened()
}

function hide(isAsked) {
  if (openPanel === undefined) return
  const name = openPanel
  openPanel = undefined
  element(name).hidden = true
  buttonOf(name).setAttribute('aria-expanded', 'false')
  if (isAsked) buttonOf(name).focus()
}

function buttonOf(name) {
  return document.querySelector(`[data-panel=${name}]`)
}

function wireView() {
  for (const name of ['quality', 'size']) {
    element(name).value = settings[name]
    element(name).addEventListener('change', ({ target }) => {
      settings[name] = target.value
      keep()
      if (rfb) apply(rfb)
    })
  }
  element('shot').addEventListener('click', () => {
    rfb?.toBlob((blob) => {
      const link = document.createElement('a')
      link.href = URL.createObjectURL(blob)
      link.download = `desktop-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}.png`
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
    })
  })
  void wireLayouts()
}

async function wireLayouts() {
  const list = await fetch('keyboards')
    .then((answer) => (answer.ok ? answer.json() : []))
    .catch(() => [])
  element('layouts').hidden = list.length === 0
  const options = list.map(({ name, title }) => new Option(title, name))
  element('layout').append(...options)
  element('layout').value = settings.layout === '' ? 'us' : settings.layout
  element('layout').addEventListener('change', ({ target }) => {
    settings.layout = target.value
    keep()
    void chooseLayout()
  })
  if (settings.layout !== '') void chooseLayout()
}

async function chooseLayout() {
  const answer = await fetch('keyboards', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ layout: settings.layout }),
  }).catch(() => undefined)
  if (!answer?.ok) toast('The keyboard of the desktop could not be changed.')
}

function readSettings() {
  try {
    const read = JSON.parse(localStorage.getItem(kept) ?? '{}')
    return typeof read === 'object' && read !== null ? read : {}
  } catch {
    return {}
  }
}

function keep() {
  try {
    localStorage.setItem(kept, JSON.stringify(settings))
  } catch {
    // Without storage they hold as long as the page does.
  }
}

/** A sentence for a few seconds, with what can be done about it. */
function toast(text, label, action) {
  const bar = element('toast')
  bar.replaceChildren(text)
  if (label !== undefined) {
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = label
    button.addEventListener('click', () => {
      bar.hidden = true
      action()
    })
    bar.append(button)
  }
  bar.hidden = false
  clearTimeout(toast.timer)
  toast.timer = setTimeout(() => (bar.hidden = true), label === undefined ? toastMs : 3 * toastMs)
}
