// The chats with iLink's bots: who scans, what may be sent and until when. Everything is text, never markup.
'use strict'

// `say` turns the text of the field into what /sim/ilink/say takes beside kind; the text of a voice is its transcript.
const BOT_KINDS = {
  image: {},
  voice: {},
  video: {},
  file: { say: text => ({ text: text && (text.includes('.') ? text : text + '.pdf') }) }
}
const BOT_FILES = /^(image|file|video|voice)/

// The window is open for 24 hours after the last word of the person.
const SHUT_SECONDS = 25 * 3600

let bots = {}
let binding = null
let selected = ''
const wantedBot = location.pathname.startsWith('/q/') ? new URLSearchParams(location.search).get('qrcode') : null

const botId = person => `ilink:${person}`
const day = seconds => new Date(seconds * 1000).toLocaleString(document.documentElement.lang, { weekday: 'short', hour: '2-digit', minute: '2-digit' })
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key])

function startBots () {
  for (const [kind, { say: make }] of Object.entries(BOT_KINDS)) {
    const button = element('button', '', kindName(kind))
    button.dataset.botKind = kind
    button.hidden = true
    button.addEventListener('click', () => sayToBot({ kind, ...(make || (text => ({ text })))(takeText()) }))
    $('kinds').append(button)
  }
  const press = (id, path, values) => $(id).addEventListener('click', () => order(`/sim/ilink/${path}`, values()))
  press('bind-scan', 'scan', () => ({ qrcode: binding, person: $('binder').value }))
  press('bind-confirm', 'confirm', () => ({ qrcode: binding }))
  press('bind-expire', 'expire', () => ({ qrcode: binding }))
  press('pass-time', 'window', () => ({ person: people.get(open).person, ago: SHUT_SECONDS }))
  press('unbind', 'kill', () => ({ person: people.get(open).person }))
}

// A phone sends an animated picture to a bot as a picture.
const botKind = kind => kind === 'sticker' ? 'image' : kind
const sayToBot = values => order('/sim/ilink/say', { from: people.get(open).person, ...values, kind: botKind(values.kind) })

// What is marked in a line is quoted alone, as newer phones do.
function mark () { selected = String(getSelection()) }
function marked (line) {
  const part = selected || String(getSelection())
  selected = ''
  return part && part !== line.text && line.text.includes(part) ? part : ''
}
function quoteToBot (line, text) {
  const detail = { msg_id: line.msg_id }
  return line.part ? { kind: 'quote_partial', text, detail: { ...detail, part: line.part } } : { kind: 'quote_id', text, detail }
}

function addBot (person) {
  if (people.has(botId(person)) || !people.has(person)) return
  people.set(botId(person), { id: botId(person), nickname: fill(words.bot, { name: nameOf(person) }), kind: 'bot', person })
  showChats()
}

function botLine (line) {
  const id = botId(line.person)
  const mine = line.by === 'person'
  addBot(line.person)
  return {
    ...line,
    kind: BOT_FILES.exec(line.kind)?.[1] || 'text',
    chat: id,
    sender: mine ? line.person : id,
    via: mine ? 'phone' : 'bot',
    mine,
    path: `/sim/ilink/media/${line.msg_id}`
  }
}

function showBots (state) {
  bots = state.bots
  Object.keys(bots).forEach(addBot)
  const newest = Object.keys(bots).pop()
  if (!open && newest && people.has(botId(newest))) openChat(botId(newest))
  const codes = state.codes.filter(one => ['wait', 'scaned', 'need_verifycode'].includes(one.status))
  showBinding(codes.find(one => one.qrcode === wantedBot) || codes[codes.length - 1] || null)
  showBot()
}

function showBinding (code) {
  $('bind').hidden = !code
  if (code && code.qrcode !== binding) $('bind-qr').src = `/sim/ilink/qrcode/${code.qrcode}`
  binding = code ? code.qrcode : null
  if (!code) return
  if (!$('binder').options.length) $('binder').replaceChildren(...ableToScan())
  const waiting = code.status === 'wait'
  const text = waiting ? words.bindWaiting : code.number ? words.bindNumber : words.bindScanned
  $('bind-text').textContent = fill(text, { name: nameOf(code.person) })
  $('number').textContent = code.number
  $('number').hidden = !code.number
  $('binder-label').hidden = $('bind-scan').hidden = !waiting
  $('bind-confirm').hidden = waiting || Boolean(code.number)
}

function ableToScan () {
  const able = [...people.values()].filter(one => one.id === 'me' || one.kind === 'friend')
  able.sort((a, b) => (b.id === 'me') - (a.id === 'me'))
  return able.map(one => new Option(nameOf(one.id), one.id))
}

function showBot () {
  const shown = Boolean(open) && isBot(open)
  $('bot-state').hidden = !shown
  $('pass-time').hidden = !shown || !bots[people.get(open).person]?.open
  $('unbind').hidden = !shown || !bots[people.get(open).person]
  if (shown) $('bot-state').textContent = botText(people.get(open).person)
}

function botText (person) {
  const bot = bots[person]
  if (!bot) return words.unbound
  if (bot.typing) return words.typing
  const name = nameOf(person)
  if (bot.last_in === null) return fill(words.never, { name })
  return bot.open && bot.left ? fill(words.left, { n: bot.left, time: day(bot.until) }) : fill(words.closed, { name })
}

async function watchBotLines () {
  let seen = 0
  for (;;) {
    try {
      const feed = await get(`/sim/ilink/feed?after=${seen}&wait=25`)
      if (feed.count < seen) { forgetLines(line => line.path && !line.wecom, isBot); seen = 0; continue }
      feed.lines.map(botLine).forEach(add)
      seen = feed.count
      if (feed.lines.length) showChats()
    } catch { await new Promise(resolve => setTimeout(resolve, 2000)) }
  }
}
