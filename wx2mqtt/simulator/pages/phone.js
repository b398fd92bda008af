// The phone: scans, confirms, reads and writes through the simulator's control. Everything is text, never markup.
'use strict'

const WORDS = {
  en: {
    title: 'WeChat, simulated', logout: 'Log out on the phone', login: 'Log in to web WeChat?', scan: 'Scan', confirm: 'Confirm',
    cancel: 'Cancel', chats: 'Chats', search: 'Search', back: 'Back', messages: 'Messages', empty: 'Nothing said yet.',
    as: 'Write as', kind: 'Kind', write: 'Write a message', send: 'Send', online: 'Web WeChat is logged in',
    offline: 'No web WeChat is logged in', waiting: 'A program shows this code. Scan it as the phone would.',
    asked: 'A program asks to log in again.', scanned: 'Scanned. Do you want to log in there?', me: 'me, on this phone',
    web: 'by web WeChat', recalled: 'recalled', more: 'and {n} more: search', qr: 'QR code of the login', gone: 'The simulator does not answer.',
    choose: 'Choose a chat.'
  },
  zh: {
    title: '模拟微信', logout: '在手机上退出网页登录', login: '登录网页微信？', scan: '扫一扫', confirm: '确认登录', cancel: '取消',
    chats: '聊天', search: '搜索', back: '返回', messages: '消息', empty: '还没有消息。', as: '发送人', kind: '类型', write: '输入消息',
    send: '发送', online: '网页微信已登录', offline: '没有网页微信登录', waiting: '有程序显示了这个二维码，请像手机一样扫描。',
    asked: '有程序请求再次登录。', scanned: '已扫描，确认在那里登录吗？', me: '我（这部手机）', web: '网页微信发送', recalled: '已撤回',
    more: '还有 {n} 个，请搜索', qr: '登录二维码', gone: '模拟器没有响应。', choose: '请选择一个聊天。'
  }
}
const KINDS = {
  text: ['Text', '文字'], image: ['Picture', '图片'], voice: ['Voice', '语音'], video: ['Video', '视频'], sticker: ['Sticker', '表情'],
  location: ['Location', '位置'], link: ['Link', '链接'], file: ['File', '文件'], card: ['Card', '名片'], mini_program: ['Mini program', '小程序'],
  quote: ['Quote', '引用'], app_transfer: ['Transfer', '转账'], 'system:red_packet': ['Red packet', '红包'], call: ['Call', '通话']
}
const SHOWN = 200

const asked = new URLSearchParams(location.search).get('lang') || navigator.language || 'en'
const language = asked.toLowerCase().startsWith('zh') ? 'zh' : 'en'
const words = WORDS[language]
const $ = id => document.getElementById(id)

const people = new Map()
const lines = []
const last = new Map()
let open = null
let code = null
const wanted = /^\/l\/(.+)$/.exec(decodeURIComponent(location.pathname))?.[1]

const get = async path => {
  const answer = await fetch(path)
  return answer.json()
}
const order = async (path, values) => {
  const answer = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(values) })
  const told = await answer.json()
  $('problem').textContent = answer.ok ? '' : told.error
  return answer.ok
}

function translate () {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  document.title = words.title
  for (const one of document.querySelectorAll('[data-t]')) one.textContent = words[one.dataset.t]
  for (const one of document.querySelectorAll('[data-t-placeholder]')) one.placeholder = words[one.dataset.tPlaceholder]
  for (const one of document.querySelectorAll('[data-t-label]')) one.setAttribute('aria-label', words[one.dataset.tLabel])
  $('qr').alt = words.qr
  for (const [kind, names] of Object.entries(KINDS)) $('kind').append(new Option(names[language === 'zh' ? 1 : 0], kind))
}

const nameOf = id => {
  const person = people.get(id)
  return person ? person.remark || person.nickname : id
}
const element = (tag, className, text) => {
  const made = document.createElement(tag)
  made.className = className
  if (text !== undefined) made.textContent = text
  return made
}
const clock = seconds => new Date(seconds * 1000).toLocaleTimeString(language === 'zh' ? 'zh-CN' : 'en', { hour: '2-digit', minute: '2-digit' })
const summary = line => line.kind === 'text' || line.via === 'system' ? line.text : `[${kindName(line.kind)}] ${line.text}`
const kindName = kind => KINDS[kind] ? KINDS[kind][language === 'zh' ? 1 : 0] : kind

function face (id) {
  let sum = 0
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)) % 8
  const made = element('span', `face tone${sum}`, [...nameOf(id)][0] || '?')
  made.setAttribute('aria-hidden', 'true')
  return made
}

function showChats () {
  const looked = $('search').value.trim().toLowerCase()
  const all = [...people.values()].filter(one => one.kind !== 'stranger' && one.id !== 'me')
  const found = all.filter(one => !looked || `${one.id} ${one.remark} ${one.nickname}`.toLowerCase().includes(looked))
  found.sort((a, b) => (last.get(b.id)?.n || 0) - (last.get(a.id)?.n || 0))
  $('chats').replaceChildren(...found.slice(0, SHOWN).map(chatItem))
  $('more').hidden = found.length <= SHOWN
  $('more').textContent = words.more.replace('{n}', found.length - SHOWN)
}

function chatItem (person) {
  const button = element('button', '')
  const line = last.get(person.id)
  if (person.id === open) button.setAttribute('aria-current', 'true')
  button.append(face(person.id), element('span', 'name', nameOf(person.id)), element('span', 'when', line ? clock(line.time) : ''))
  button.append(element('span', 'last', line ? summary(line) : ''))
  button.addEventListener('click', () => openChat(person.id))
  const item = document.createElement('li')
  item.append(button)
  return item
}

function authors (chat) {
  const options = chat.kind === 'group' ? chat.members.filter(id => id !== 'me') : chat.kind === 'special' ? [] : [chat.id]
  const made = options.map(id => new Option(nameOf(id), id))
  made.push(new Option(words.me, 'me'))
  return made
}

function openChat (id) {
  open = id
  $('main').classList.add('open')
  $('chat-name').textContent = nameOf(id)
  $('author').replaceChildren(...authors(people.get(id)))
  $('lines').replaceChildren(...lines.filter(line => line.chat === id).map(bubble))
  $('compose').hidden = false
  showEmpty()
  $('lines').scrollTop = $('lines').scrollHeight
  showChats()
  $('text').focus()
}

function showEmpty () {
  $('empty').hidden = $('lines').childElementCount > 0
  $('empty').textContent = open ? words.empty : words.choose
}

function bubble (line) {
  const mine = line.sender === 'me'
  const item = element('li', line.via === 'system' ? 'system' : mine ? 'mine' : 'theirs')
  if (line.recalled) item.classList.add('recalled')
  const said = line.via === 'web' ? words.web : mine ? '' : nameOf(line.sender)
  if (line.via !== 'system') item.append(element('span', 'who', [said, clock(line.time), line.recalled ? words.recalled : ''].filter(Boolean).join(' · ')))
  item.append(element('span', 'bubble', summary(line)))
  return item
}

function add (line) {
  lines.push(line)
  last.set(line.chat, line)
  if (line.chat !== open) return
  const below = $('lines').scrollHeight - $('lines').scrollTop - $('lines').clientHeight < 80
  $('lines').append(bubble(line))
  if (below) $('lines').scrollTop = $('lines').scrollHeight
  showEmpty()
}

async function send (event) {
  event.preventDefault()
  const text = $('text').value
  const from = $('author').value
  const kind = $('kind').value
  if (!open || (kind === 'text' && !text.trim())) return
  const group = people.get(open).kind === 'group'
  const to = from === 'me' || group ? open : 'me'
  if (await order('/sim/say', { from, to, text, kind })) {
    $('text').value = ''
    $('kind').value = 'text'
  }
}

function showLogin (state) {
  const codes = state.logins.filter(one => ['waiting', 'scanned'].includes(one.state))
  const chosen = codes.find(one => one.uuid === wanted) || codes[codes.length - 1] || null
  if (chosen && chosen.uuid !== code) $('qr').src = `/qrcode/${chosen.uuid}`
  code = chosen ? chosen.uuid : null
  $('login').hidden = !chosen
  $('web').classList.toggle('on', state.online)
  $('web-text').textContent = state.online ? words.online : words.offline
  $('logout').hidden = !state.online
  if (!chosen) return
  const ready = chosen.state === 'scanned' || chosen.push
  $('scan').hidden = ready
  $('confirm').hidden = !ready
  $('login-text').textContent = chosen.state === 'scanned' ? words.scanned : chosen.push ? words.asked : words.waiting
}

async function watchState () {
  for (;;) {
    try {
      const state = await get('/sim/state')
      showLogin(state)
      if (state.people + 1 !== people.size) await readPeople()
    } catch { $('web-text').textContent = words.gone }
    await new Promise(resolve => setTimeout(resolve, 1000))
  }
}

async function watchLines () {
  let seen = 0
  for (;;) {
    try {
      const feed = await get(`/sim/feed?after=${seen}&wait=25`)
      if (feed.count < seen) { lines.length = 0; last.clear(); seen = 0; continue }
      feed.lines.forEach(add)
      seen = feed.count
      if (feed.lines.length) showChats()
    } catch { await new Promise(resolve => setTimeout(resolve, 2000)) }
  }
}

async function readPeople () {
  people.clear()
  for (const person of await get('/sim/people')) people.set(person.id, person)
  showChats()
}

async function start () {
  translate()
  showEmpty()
  $('compose').hidden = true
  const press = (id, path) => $(id).addEventListener('click', () => order(path, { uuid: code }))
  press('scan', '/sim/scan')
  press('confirm', '/sim/confirm')
  press('cancel', '/sim/cancel')
  $('logout').addEventListener('click', () => order('/sim/logout', {}))
  $('back').addEventListener('click', () => $('main').classList.remove('open'))
  $('search').addEventListener('input', showChats)
  $('compose').addEventListener('submit', send)
  $('text').addEventListener('keydown', event => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) $('compose').requestSubmit()
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) event.preventDefault()
  })
  await readPeople()
  if (wanted) await order('/sim/scan', { uuid: wanted })
  watchState()
  watchLines()
}

start()
