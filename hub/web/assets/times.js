// Keeps relative times true and shows moments in the reader's own time zone. Without it the server's words stay.

const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
const moment = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })

export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 90) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 90) return `${minutes} min`
  const hours = minutes / 60
  if (hours < 36) return `${Number(hours.toFixed(hours < 10 ? 1 : 0))} h`
  return `${Math.round(hours / 24)} days`
}

export function bytes(amount) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = Math.max(0, amount)
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${units[unit]}`
}

function words(element, now) {
  const at = new Date(element.dateTime)
  const difference = at.getTime() - now
  switch (element.dataset.as) {
    case 'day':
      return day.format(at)
    case 'age':
      return duration(-difference)
    default:
      if (Math.abs(difference) < 10_000) return difference > 0 ? 'in a moment' : 'just now'
      return difference < 0 ? `${duration(-difference)} ago` : `in ${duration(difference)}`
  }
}

export function refreshTimes(root = document) {
  const now = Date.now()
  for (const element of root.querySelectorAll('time[data-as]')) {
    const text = words(element, now)
    if (element.textContent !== text) element.textContent = text
    element.title = moment.format(new Date(element.dateTime))
  }
}

refreshTimes()
setInterval(() => {
  if (!document.hidden) refreshTimes()
}, 1_000)
document.addEventListener('visibilitychange', () => refreshTimes())
