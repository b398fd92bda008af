// The chats with WeCom's bots: who scans, what people read, the buttons of cards. Everything is text, never markup.
'use strict'

// `say` turns the text of the field into what /sim/wecom/say takes beside kind; the text of a voice is its transcript.
const WECOM_KINDS = {
  image: { say: () => ({}) },
  mixed: {},
  voice: {},
  video: { say: () => ({}) },
  file: { say: text => ({ text: text && (text.includes('.') ? text : text + '.pdf') }) }
}
const IN_GROUPS = ['mixed', 'file']
const WECOM_PEOPLE = ['me', 'wife', 'mom', 'family']

let wecomBots = {}
let scanning = null
const wantedScan = location.pathname === '/ai/qc/c' ? new URLSearchParams(location.search).get('s') : null

const wecomId = (bot, chat) => `wecom:${bot}:${chat}`

function startWeCom () {
  for (const [kind, { say: make }] of Object.entries(WECOM_KINDS)) {
    const button = element('button', '', kindName(kind))
    button.dataset.wecomKind = kind
    button.hidden = true
    button.addEventListener('click', () => sayToWeCom({ kind, ...(make || (text => ({ text })))(takeText()) }))
    $('kinds').append(button)
  }
  const press = (id, path, values) => $(id).addEventListener('click', () => order(`/sim/wecom/${path}`, values()))
  press('wecom-scan', 'scan', () => ({ scode: scanning, person: $('wecom-scanner').value }))
  press('wecom-confirm', 'confirm', () => ({ scode: scanning }))
  press('wecom-expire', 'expire', () => ({ scode: scanning }))
  press('take-over', 'takeover', () => ({ bot: people.get(open).bot }))
}

// A phone sends an animated picture as a picture, and a sound as a file: the voice of WeCom is recorded.
const wecomKind = values => ({ sticker: 'image', voice: values.data ? 'file' : 'voice' })[values.kind] || values.kind

function sayToWeCom (values) {
  const { bot, chat, group } = people.get(open)
  const kind = wecomKind(values)
  return order('/sim/wecom/say', { bot, from: $('author').value, ...(group ? { to: chat } : {}), ...values, kind })
}

const quoteToWeCom = (line, text) => ({ kind: 'quote', text, detail: { msg_id: line.msg_id } })

function addWeComChat (bot, chat) {
  const id = wecomId(bot, chat)
  const known = people.get(chat)
  if (people.has(id) || !known) return
  const nickname = fill(words.wecomChat, { bot: wecomBots[bot]?.name || bot, name: nameOf(chat) })
  people.set(id, { id, nickname, kind: 'wecom', bot, chat, group: known.kind === 'group', members: known.members || [] })
  showChats()
}

function weComAuthors (chat) {
  if (!chat.group) return [new Option(nameOf(chat.chat), chat.chat)]
  return chat.members.map(id => new Option(id === 'me' ? words.me : nameOf(id), id))
}

function weComLine (line) {
  addWeComChat(line.bot_id, line.chat)
  const id = wecomId(line.bot_id, line.chat)
  const byBot = line.sender === 'bot'
  const mine = !byBot && (line.sender === line.chat || line.sender === 'me')
  const shownKind = ['image', 'file', 'video', 'voice', 'mixed'].includes(line.kind) ? line.kind : 'text'
  return { ...line, kind: shownKind, chat: id, via: byBot ? 'bot' : 'phone', mine, path: `/sim/wecom/media/${line.msg_id}`, wecom: true }
}

function cardButtons (line) {
  const row = element('span', 'row card-buttons')
  for (const one of line.card.buttons) {
    const button = element('button', 'small', one.text)
    button.addEventListener('click', () => pressCard(line, one.key))
    row.append(button)
  }
  return row
}

function pressCard (line, key) {
  const { bot, chat, group } = people.get(line.chat)
  return order('/sim/wecom/press', { bot, from: $('author').value, ...(group ? { to: chat } : {}), task_id: line.card.task_id, key })
}

function showWeCom (state) {
  wecomBots = state.bots
  for (const [bot, values] of Object.entries(wecomBots)) {
    if (values.online || values.elsewhere) WECOM_PEOPLE.forEach(chat => addWeComChat(bot, chat))
    if (!open && values.online && people.has(wecomId(bot, 'me'))) openChat(wecomId(bot, 'me'))
  }
  const codes = state.codes.filter(one => ['wait', 'scanned'].includes(one.status))
  showScanning(codes.find(one => one.scode === wantedScan) || codes[codes.length - 1] || null)
  showWeComState()
}

function showScanning (code) {
  $('wecom').hidden = !code
  if (code && code.scode !== scanning) $('wecom-qr').src = `/sim/wecom/qrcode/${code.scode}`
  scanning = code ? code.scode : null
  if (!code) return
  if (!$('wecom-scanner').options.length) $('wecom-scanner').replaceChildren(...ableToScan())
  const waiting = code.status === 'wait'
  $('wecom-text').textContent = fill(waiting ? words.wecomWaiting : words.wecomScanned, { name: nameOf(code.person) })
  $('wecom-scanner-label').hidden = $('wecom-scan').hidden = !waiting
  $('wecom-confirm').hidden = waiting
}

// Whether a program has used WeCom; it may be away just now.
const weComKnown = state => state.codes.some(one => ['wait', 'scanned'].includes(one.status)) ||
  Object.values(state.bots).some(one => one.online || one.elsewhere || one.subscriptions > 0)

const weComOnline = () => Object.values(wecomBots).some(one => one.online)

function showWeComState () {
  const shown = Boolean(open) && isWeCom(open)
  const bot = shown ? wecomBots[people.get(open).bot] : null
  $('take-over').hidden = !bot?.online
  if (!shown) return
  $('bot-state').hidden = false
  $('bot-state').textContent = bot?.online ? words.wecomOnline : bot?.elsewhere ? words.wecomElsewhere : words.wecomOffline
}

async function watchWeComLines () {
  let seen = 0
  for (;;) {
    try {
      const feed = await get(`/sim/wecom/feed?after=${seen}&wait=25`)
      if (feed.count < seen) { forgetLines(line => line.wecom, isWeCom); seen = 0; continue }
      feed.lines.map(weComLine).forEach(add)
      seen = feed.count
      if (feed.lines.length) showChats()
    } catch { await new Promise(resolve => setTimeout(resolve, 2000)) }
  }
}
