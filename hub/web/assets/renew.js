// A login that runs out is renewed in a window of its own: what is in this page stays as it is.
import { refreshTimes } from './times.js'

const notice = document.querySelector('#renew')
const link = notice.querySelector('a')
const time = notice.querySelector('time')
const over = notice.querySelector('#renew-over')
const channel = new BroadcastChannel('hutch-login')
let ends = new Date(notice.dataset.ends).getTime()
const warnMs = Number(notice.dataset.warn)

function show() {
  const left = ends - Date.now()
  const soon = left < warnMs
  if (notice.hidden === soon) notice.hidden = !soon
  time.parentElement.hidden = left <= 0
  over.hidden = left > 0
}

// Another page, or the window, has a later end.
channel.addEventListener('message', ({ data }) => {
  const later = new Date(data?.ends ?? '').getTime()
  if (!(later > ends)) return
  ends = later
  time.dateTime = new Date(later).toISOString()
  refreshTimes(notice)
  show()
})
channel.postMessage({ ends: notice.dataset.ends })

link.addEventListener('click', (event) => {
  const opened = window.open(link.href, 'hutch-renew', 'popup,width=520,height=680')
  // Where windows are not allowed to open, the link does what links do, in a tab of its own.
  if (opened) event.preventDefault()
})

show()
setInterval(show, 1_000)
