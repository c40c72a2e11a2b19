// The launch form: search without leaving the page, and one launch for two clicks.

const form = document.querySelector('#launch')
const search = document.querySelector('#search')
const choices = document.querySelector('#proposal-choices')
const status = document.querySelector('#search-status')
let timer
let asked = 0

async function find() {
  asked += 1
  const mine = asked
  const query = new URLSearchParams({ search: search.value })
  for (const each of choices.querySelectorAll('input:checked')) query.append(each.name, each.value)
  const answer = await fetch(`/hub/launch/proposals?${query}`, { headers: { Accept: 'text/html' } })
  if (!answer.ok || answer.redirected || mine !== asked) return
  choices.innerHTML = await answer.text()
  status.textContent = choices.querySelector('[data-total]')?.textContent ?? ''
}

search.addEventListener('input', () => {
  clearTimeout(timer)
  timer = setTimeout(() => void find(), 250)
})
// Enter in the search box searches; only the button launches.
search.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter') return
  event.preventDefault()
  clearTimeout(timer)
  void find()
})
form.querySelector('[formaction="/hub/launch"]').hidden = true

// What is offered follows from the proposals that are ticked.
const offers = document.querySelector('#offers')
const offersStatus = document.querySelector('#offers-status')
const names = () => [...offers.querySelectorAll('input[name=profile]')].map((each) => each.value).join()
let offersAsked = 0
// Until somebody chooses, what comes first is what is chosen.
let isChosen = new URLSearchParams(location.search).has('profile')
offers.addEventListener('change', () => (isChosen = true))

choices.addEventListener('change', async () => {
  offersAsked += 1
  const mine = offersAsked
  const query = new URLSearchParams()
  for (const [name, value] of new FormData(form)) {
    if (typeof value === 'string' && name !== 'search' && (isChosen || name !== 'profile')) query.append(name, value)
  }
  const answer = await fetch(`/hub/launch/offers?${query}`, { headers: { Accept: 'text/html' } })
  if (!answer.ok || answer.redirected || mine !== offersAsked) return
  const text = await answer.text()
  const before = names()
  const [kept, focused] = [isChosen ? chosenNow() : new Map(), document.activeElement?.id]
  offers.innerHTML = text
  choose(kept)
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus()
  offersStatus.textContent =
    names() === before ? '' : 'What is offered to you has changed with the data that you chose.'
})

/** What was clicked while the answer was on its way stays. */
const chosenNow = () =>
  new Map([...offers.querySelectorAll('input:checked, select')].map((each) => [each.name, each.value]))

function choose(kept) {
  for (const each of offers.querySelectorAll('input:enabled, select')) {
    const value = kept.get(each.name)
    if (each.type === 'radio' && each.value === value) each.checked = true
    if (each.options && [...each.options].some((option) => option.value === value)) each.value = value
  }
}

form.addEventListener('submit', (event) => {
  if (form.dataset.sent) event.preventDefault()
  form.dataset.sent = 'yes'
})
// Back from the next page: the form is as it was, and may be sent again.
addEventListener('pageshow', () => delete form.dataset.sent)
document.querySelector('#problem')?.scrollIntoView({ block: 'center' })
