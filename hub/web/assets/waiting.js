// The waiting page, live: moves through the steps as the backend tells them, and goes in when it is ready.
import { follow } from './follow.js'
import { duration, refreshTimes } from './times.js'

const root = document.querySelector('#waiting')
const { environment, state, url } = root.dataset

/** Goes in, but not for ever: a route that leads back here would make a circle. */
function enter(to) {
  const key = `hutch-enter-${environment}`
  const before = JSON.parse(sessionStorage.getItem(key) ?? '[]').filter((at) => Date.now() - at < 30_000)
  if (before.length >= 4) {
    // The page of what is ready has a button.
    if (state !== 'ready') location.reload()
    return
  }
  sessionStorage.setItem(key, JSON.stringify([...before, Date.now()]))
  // A moment for the route to reach every proxy, longer each time.
  setTimeout(() => location.replace(to), before.length * 700)
}

function showStep(step) {
  document.querySelectorAll('#steps li').forEach((item, index) => {
    const name = index < step ? 'done' : index === step ? 'now' : 'later'
    item.className = name
    if (name === 'now') item.setAttribute('aria-current', 'step')
    else item.removeAttribute('aria-current')
    item.querySelector('.step-state').textContent = name === 'later' ? '' : ` – ${name}`
  })
}

function showStarting(view) {
  showStep(view.step)
  const position = view.position === undefined ? '' : ` Position ${view.position} in the queue.`
  const text = `${view.message}${position}`
  const message = document.querySelector('#message')
  if (message.textContent !== text) message.textContent = text
  const usual = document.querySelector('#usual')
  if (usual && view.usualStartMs !== undefined) usual.textContent = `Usually takes about ${duration(view.usualStartMs)}`
  const estimate = document.querySelector('#estimate time')
  if (estimate && view.startEstimateAt) {
    estimate.dateTime = view.startEstimateAt
    refreshTimes(document.querySelector('#estimate'))
  }
}

// Whoever cancels is on the way home already; a reload now would hold them back.
let leaving = false
document.addEventListener('submit', () => {
  leaving = true
})
addEventListener('pageshow', () => {
  leaving = false
})

if (state === 'ready') enter(url)
if (state !== 'ended') {
  follow(`/hub/api/v1/environments/${encodeURIComponent(environment)}/events`, {
    state(view) {
      if (leaving) return
      if (view.state === 'starting' && state === 'starting') showStarting(view)
      else if (view.state !== state) {
        if (view.state === 'ready') enter(url)
        else location.reload()
      }
    },
    gone: () => location.assign('/hub/home'),
  })
}
