// Keeps the page true while somebody looks. Everything here is a comfort: without it a reload does the same.
'use strict'

const LATER = 5000 // milliseconds until the bridge is asked again after it refused
const language = document.documentElement.lang
const skew = Date.now() - Number(document.body.dataset.now)
const boxes = new Map([...document.querySelectorAll('[data-part]')].map(box => [box.dataset.part, box]))
const written = new Map([...boxes].map(([name, box]) => [name, box.innerHTML]))

// Moments are written as the reader's clock does, and what is left of a code counts down.
const format = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' })

function dress(element) {
  for (const time of element.querySelectorAll('time:not(.relative)')) {
    const moment = new Date(time.dateTime)
    if (!Number.isNaN(moment.getTime())) time.textContent = format.format(moment)
  }
  for (const until of element.querySelectorAll('.until')) until.hidden = true
  for (const left of element.querySelectorAll('.left')) left.hidden = false
  tick(element)
}

// "in 5 hours", at least a minute; the moment itself stands in the title.
const far = new Intl.RelativeTimeFormat(language, { numeric: 'auto' })

function tick(element) {
  for (const time of element.querySelectorAll('time.relative')) {
    const moment = Date.parse(time.dateTime)
    if (Number.isNaN(moment)) continue
    const minutes = Math.max(1, Math.round((moment + skew - Date.now()) / 60000))
    const told = minutes < 90 ? far.format(minutes, 'minute') : far.format(Math.round(minutes / 60), 'hour')
    if (time.textContent !== told) time.textContent = told
    if (!time.title) time.title = format.format(new Date(moment))
  }
  for (const left of element.querySelectorAll('[data-until]')) {
    const seconds = Math.max(0, Math.round((Number(left.dataset.until) + skew - Date.now()) / 1000))
    left.querySelector('span').textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  }
}

function take(parts) {
  for (const [name, html] of Object.entries(parts)) {
    const box = boxes.get(name)
    if (!box) return location.reload() // there is more to see than when the page was made
    const next = box.cloneNode(false)
    next.innerHTML = html
    const plain = next.innerHTML
    if (plain === written.get(name)) continue
    written.set(name, plain)
    dress(next)
    const focused = box.contains(document.activeElement)
    box.replaceChildren(...next.childNodes)
    if (focused) box.querySelector('a, button')?.focus()
  }
}

// What changes comes by itself.
const lost = document.getElementById('lost')
let missing = 0

function listen() {
  const source = new EventSource(document.body.dataset.events)
  source.onopen = () => {
    clearTimeout(missing)
    missing = 0
    lost.hidden = true
  }
  source.onmessage = event => {
    take(JSON.parse(event.data))
    for (const fill of lists) fill()
  }
  source.onerror = () => {
    missing ||= setTimeout(() => { lost.hidden = false }, LATER) // now and then it ends, and begins anew by itself
    if (source.readyState === EventSource.CLOSED) setTimeout(again, LATER)
  }
}

async function again() {
  try {
    const answer = await fetch(document.body.dataset.events, { method: 'HEAD' })
    if (answer.status === 401) return location.reload() // the session is over: to the login
  } catch { /* it is away */ }
  listen()
}

// The contacts are searched while one types, and come by themselves with the first login.
const lists = []

function search(area) {
  const form = area.querySelector('form'), list = area.querySelector('.found'), count = area.querySelector('[role=status]')
  let asked = 0
  async function show(query) {
    const mine = ++asked
    try {
      const answer = await fetch(`accounts/${area.dataset.account}/contacts?${new URLSearchParams(query)}`)
      const html = await answer.text()
      if (!answer.ok || mine !== asked) return
      list.innerHTML = html
      const told = list.querySelector('p').textContent
      if (count.textContent !== told) count.textContent = told // else a screen reader may say it again
    } catch { /* it is away, which is said above */ }
  }
  lists.push(() => { if (!form.q.value && !list.querySelector('.people')) show({ q: '' }) })
  let soon
  form.q.addEventListener('input', () => {
    clearTimeout(soon)
    soon = setTimeout(() => show({ q: form.q.value }), 200)
  })
  form.addEventListener('submit', event => {
    event.preventDefault()
    clearTimeout(soon)
    show({ q: form.q.value })
  })
  list.addEventListener('click', event => {
    const from = event.target.closest('a[data-from]')?.dataset.from
    if (from === undefined) return
    event.preventDefault()
    show({ q: form.q.value, from }).then(() => list.focus())
  })
}

// Who is to be written to is entered into the form, without loading the page anew.
document.addEventListener('click', event => {
  const to = event.target.closest('a[data-to]')
  const form = to && document.querySelector(`form[action="accounts/${to.closest('.contacts').dataset.account}/send"]`)
  if (!form) return
  event.preventDefault()
  form.user.value = to.dataset.to
  form.text.focus()
})

// What a form did was said once; a reload says what is.
const here = new URL(location.href)
for (const name of ['said', 'id', 'to']) here.searchParams.delete(name)
history.replaceState(null, '', here)

dress(document.body)
setInterval(() => tick(document.body), 1000)
for (const area of document.querySelectorAll('.contacts')) search(area)
if (document.body.dataset.events) listen()
