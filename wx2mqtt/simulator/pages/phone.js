// The phone: scans, confirms, reads and writes through the simulator's control. Everything is text, never markup.
'use strict'

const WORDS = {
  en: {
    title: 'WeChat, simulated', logout: 'Log out on the phone', login: 'Log in to web WeChat?', scan: 'Scan', confirm: 'Confirm',
    cancel: 'Cancel', chats: 'Chats', search: 'Search', back: 'Back', messages: 'Messages', empty: 'Nothing said yet.',
    as: 'Write as', kinds: 'Send something else', pick: 'Choose files…', quote: 'Quote', recall: 'Recall',
    quoting: 'Quoting', unquote: 'Do not quote', large: 'The page takes files of at most 20 MB.', stranger: 'New friend', unread: 'unread', write: 'Write a message', send: 'Send', online: 'Web WeChat: a program is logged in',
    bots: 'iLink: connected with a bot', offline: 'No program is connected yet', waiting: 'A program shows this code. Scan it as the phone would.',
    asked: 'A program asks to log in again.', scanned: 'Scanned. Do you want to log in there?', me: 'me, on this phone',
    web: 'by web WeChat', recalled: 'recalled', more: 'and {n} more: search', qr: 'QR code of the login', gone: 'The simulator does not answer.',
    choose: 'Choose a chat.', writeFirst: 'Write to the bot. Before that it may send nothing.', bind: 'Connect somebody with a bot?', binder: 'Whose phone', connect: 'Connect', expire: 'Let it expire',
    unbind: 'Bind elsewhere', bot: 'bot of {name}', bindWaiting: 'A program shows this code. Scan it with somebody’s phone.',
    bindNumber: 'Scanned by {name}. The program must be given this number:', bindScanned: 'Scanned by {name}. Connect them with the bot there?',
    bindQr: 'QR code of the bot', unbound: 'not connected any more', never: 'window shut: may not write before {name} has', closed: 'window shut: may not write until {name} does',
    left: 'window open: may write {n} more, until {time}', passTime: 'Let 25 hours pass', typing: 'is typing …', quotes: 'quotes', ofBot: 'by the bot',
    wecom: 'Make a bot of WeCom?', wecomWaiting: 'A program shows this code. Scan it with somebody’s WeCom.', wecomScanned: 'Scanned by {name}. Make the bot there?',
    wecomMake: 'Make the bot', wecomQr: 'QR code of a bot of WeCom', wecomChat: '{name} with the bot {bot}', wecomBots: 'WeCom: connected with a bot',
    nextStart: 'Next: start a program that logs in, such as wx2mqtt. Its QR code appears here.', nextScan: 'Next: press “Scan”, as a phone would.',
    nextConfirm: 'Next: confirm on the phone.', nextNumber: 'Next: give the number to the program.', nextWrite: 'Next: write to the bot. What you write arrives on MQTT.', nextAnswer: 'Next: let the program send you a text over MQTT. It appears here.',
    nextWindow: 'Next: write to the bot. Until then it may send nothing more.', nextTalk: 'Next: open a chat and write as somebody. What they write arrives on MQTT.',
    takeOver: 'Connect another program', wecomOnline: 'WeCom: a program is connected', wecomOffline: 'WeCom: no program is connected, messages are lost',
    wecomElsewhere: 'WeCom: another program has taken the bot over', lost: 'lost: no program was connected'
  },
  zh: {
    title: '模拟微信', logout: '在手机上退出网页版', login: '登录网页版微信？', scan: '扫一扫', confirm: '确认登录', cancel: '取消',
    chats: '聊天', search: '搜索', back: '返回', messages: '消息', empty: '还没有消息。', as: '发送人', kinds: '发送其他内容', pick: '选择文件…', quote: '引用', recall: '撤回', quoting: '引用',
    unquote: '取消引用', large: '网页版最多发送 20 MB 的文件。', stranger: '新朋友', unread: '未读', write: '输入消息',
    send: '发送', online: '网页版微信：程序已登录', bots: 'iLink：已连接机器人', offline: '还没有程序连接', waiting: '有程序显示了这个二维码，请像手机一样扫描。',
    asked: '有程序请求再次登录。', scanned: '已扫描，确认登录吗？', me: '我（这部手机）', web: '网页版发送', recalled: '已撤回',
    more: '还有 {n} 个，请搜索', qr: '登录二维码', gone: '模拟器没有响应。', choose: '请选择一个聊天。', writeFirst: '请先给机器人发一条消息，之后它才能给你发。', bind: '连接机器人？', binder: '用谁的手机', connect: '连接',
    expire: '让它过期', unbind: '在别处绑定', bot: '{name} 的机器人', bindWaiting: '有程序显示了这个二维码，请用某人的手机扫描。',
    bindNumber: '{name} 已扫描，请在程序中输入这个数字：', bindScanned: '{name} 已扫描，要连接机器人吗？',
    bindQr: '机器人的二维码', unbound: '已断开连接', never: '窗口已关闭：{name} 先发一条消息，机器人才能回复', closed: '窗口已关闭：{name} 再发一条消息，机器人才能回复',
    left: '窗口开着：{time} 之前还能发 {n} 条', passTime: '过 25 小时', typing: '正在输入…', quotes: '引用', ofBot: '机器人发送',
    wecom: '创建企业微信机器人？', wecomWaiting: '有程序显示了这个二维码，请用某人的企业微信扫描。', wecomScanned: '{name} 已扫描，要创建机器人吗？',
    wecomMake: '创建机器人', wecomQr: '企业微信机器人的二维码', wecomChat: '{name} 与机器人 {bot}', wecomBots: '企业微信：已连接机器人',
    nextStart: '下一步：启动要登录的程序，例如 wx2mqtt，它的二维码会出现在这里。', nextScan: '下一步：像手机一样点“扫一扫”。',
    nextConfirm: '下一步：在手机上确认。', nextNumber: '下一步：在程序里输入这个数字。', nextWrite: '下一步：给机器人发一条消息，它会出现在 MQTT 上。', nextAnswer: '下一步：让程序通过 MQTT 给你发一条消息，它会出现在这里。',
    nextWindow: '下一步：给机器人发一条消息，它才能继续给你发。', nextTalk: '下一步：打开一个聊天，以其中一个人的身份发一条消息，它会出现在 MQTT 上。',
    takeOver: '让另一个程序连接', wecomOnline: '企业微信：有程序已连接', wecomOffline: '企业微信：没有程序连接，消息会丢失',
    wecomElsewhere: '企业微信：另一个程序接管了机器人', lost: '已丢失：没有程序连接'
  }
}
const SHOWN = 200

const asked = new URLSearchParams(location.search).get('lang') || document.documentElement.dataset.language || navigator.language || 'en'
const language = asked.toLowerCase().startsWith('zh') ? 'zh' : 'en'
const words = WORDS[language]
const $ = id => document.getElementById(id)

const people = new Map()
const lines = []
const last = new Map()
let open = null
let code = null
let quoted = null
let unread = {}
let usesWeb = false
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
  $('bind-qr').alt = words.bindQr
  $('wecom-qr').alt = words.wecomQr
  for (const kind of Object.keys(KINDS).filter(one => one !== 'text')) {
    const button = element('button', '', kindName(kind))
    button.dataset.kind = kind
    button.addEventListener('click', () => kind === 'friend_request' ? askAsFriend() : say(toSay(kind, takeText())))
    $('kinds').append(button)
  }
}

const nameOf = id => {
  const person = people.get(id)
  return person ? person.remark || person.nickname : id
}
const isBot = id => people.get(id)?.kind === 'bot'
const isWeCom = id => people.get(id)?.kind === 'wecom'
const isOfBots = id => isBot(id) || isWeCom(id)

const element = (tag, className, text) => {
  const made = document.createElement(tag)
  made.className = className
  if (text !== undefined) made.textContent = text
  return made
}
const clock = seconds => new Date(seconds * 1000).toLocaleTimeString(language === 'zh' ? 'zh-CN' : 'en', { hour: '2-digit', minute: '2-digit' })

function face (id) {
  let sum = 0
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)) % 8
  const made = element('span', `face tone${sum}`, [...nameOf(id)][0] || '?')
  made.setAttribute('aria-hidden', 'true')
  return made
}

// Who uses only bots sees nobody else; before a program has come, everybody of web WeChat is shown.
function isListed (one) {
  if (isOfBots(one.id) || one.id === open) return true
  return usesWeb && one.id !== 'me' && (one.kind !== 'stranger' || last.has(one.id))
}

function showChats () {
  const looked = $('search').value.trim().toLowerCase()
  const all = [...people.values()].filter(isListed)
  const found = all.filter(one => !looked || `${one.id} ${one.remark} ${one.nickname}`.toLowerCase().includes(looked))
  // Bots come first: who has just connected one writes to it next.
  found.sort((a, b) => isOfBots(b.id) - isOfBots(a.id) || (last.get(b.id)?.n || 0) - (last.get(a.id)?.n || 0))
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
  if (unread[person.id] && person.id !== open) button.append(element('span', 'unread', `${unread[person.id]} ${words.unread}`))
  button.addEventListener('click', () => openChat(person.id))
  const item = document.createElement('li')
  item.append(button)
  return item
}

function authors (chat) {
  if (chat.kind === 'bot') return [new Option(nameOf(chat.person), chat.person)]
  if (chat.kind === 'wecom') return weComAuthors(chat)
  const options = chat.kind === 'group' ? chat.members.filter(id => id !== 'me') : chat.kind === 'special' ? [] : [chat.id]
  const made = options.map(id => new Option(nameOf(id), id))
  made.push(new Option(words.me, 'me'))
  return made
}

function openChat (id) {
  open = id
  quote(null)
  if (unread[id]) order('/sim/read', { chat: id })
  $('main').classList.add('open')
  $('chat-name').textContent = nameOf(id)
  $('author').replaceChildren(...authors(people.get(id)))
  $('lines').replaceChildren(...lines.filter(line => line.chat === id).map(bubble))
  $('compose').hidden = false
  for (const button of $('kinds').querySelectorAll('[data-kind], [data-bot-kind], [data-wecom-kind]')) button.hidden = !isKindOf(id, button.dataset)
  showBot()
  showWeComState()
  showEmpty()
  $('lines').scrollTop = $('lines').scrollHeight
  showChats()
  $('text').focus()
}

function isKindOf (id, data) {
  if (isWeCom(id)) return 'wecomKind' in data && (!people.get(id).group || IN_GROUPS.includes(data.wecomKind))
  return isBot(id) ? 'botKind' in data : 'kind' in data
}

function showEmpty () {
  $('empty').hidden = $('lines').childElementCount > 0
  $('empty').textContent = !open ? words.choose : isOfBots(open) ? words.writeFirst : words.empty
}

function bubble (line) {
  const mine = line.mine ?? line.sender === 'me'
  const item = element('li', line.via === 'system' ? 'system' : mine ? 'mine' : 'theirs')
  item.dataset.id = line.msg_id
  if (line.recalled) item.classList.add('recalled')
  const said = { web: words.web, bot: words.ofBot }[line.via] ?? (mine ? '' : nameOf(line.sender))
  if (line.via !== 'system') item.append(element('span', 'who', [said, clock(line.time), line.recalled ? words.recalled : '', line.lost ? words.lost : ''].filter(Boolean).join(' · ')))
  const media = shown(line)
  if (media) item.append(media)
  if (line.quoted) item.append(element('span', 'quote', `${words.quotes}: ${line.quoted}`))
  if (!media || (line.text && line.kind !== 'file')) item.append(element('span', 'bubble', summary(line)))
  if (line.card?.buttons.length) item.append(cardButtons(line))
  if (line.via !== 'system' && !line.recalled) item.append(acts(line))
  return item
}

function acts (line) {
  const made = element('span', 'acts')
  const press = (word, what) => {
    const button = element('button', 'small', words[word])
    button.addEventListener('click', what)
    made.append(button)
  }
  if (line.path) made.addEventListener('pointerdown', mark)
  press('quote', () => quote(line.path ? { ...line, part: marked(line) } : line))
  if (line.path) return made
  press('recall', () => order('/sim/say', { from: line.sender, to: receiver(line.sender), kind: 'recall', detail: { msg_id: line.msg_id } }))
  return made
}

function quote (line) {
  quoted = line
  $('quoting').hidden = !line
  $('quoted').textContent = line ? `${words.quoting}: ${nameOf(line.sender)}: ${line.part || summary(line)}` : ''
  if (line) $('text').focus()
}

const quoteToSay = (line, text) => ({ kind: 'quote', text, detail: quoteOf(line) })

function recall (ids) {
  for (const line of lines.filter(one => ids.includes(one.msg_id))) {
    line.recalled = true
    for (const item of $('lines').children) if (item.dataset.id === line.msg_id) item.replaceWith(bubble(line))
  }
}

// A line that changes comes again: a card, or an answer that grows.
function replace (line) {
  const index = line.wecom ? lines.findIndex(one => one.wecom && one.msg_id === line.msg_id) : -1
  if (index < 0) return false
  lines[index] = line
  for (const item of $('lines').children) if (item.dataset.id === line.msg_id) item.replaceWith(bubble(line))
  return true
}

function forgetLines (isForgotten, isChat) {
  for (const line of lines.splice(0).filter(one => !isForgotten(one))) lines.push(line)
  for (const id of [...last.keys()]) if (isChat(id)) last.delete(id)
  if (open && isChat(open)) openChat(open)
}

function add (line) {
  if (replace(line)) return
  lines.push(line)
  last.set(line.chat, line)
  if (line.chat !== open) return
  const below = $('lines').scrollHeight - $('lines').scrollTop - $('lines').clientHeight < 80
  $('lines').append(bubble(line))
  if (below) $('lines').scrollTop = $('lines').scrollHeight
  showEmpty()
}

const receiver = from => from === 'me' || people.get(open).kind === 'group' ? open : 'me'
const say = values => isBot(open) ? sayToBot(values) : isWeCom(open) ? sayToWeCom(values) : order('/sim/say', { from: $('author').value, to: receiver($('author').value), ...values })

function takeText () {
  const text = $('text').value.trim()
  $('text').value = ''
  return text
}

async function send (event) {
  event.preventDefault()
  const text = $('text').value
  if (!open || !text.trim()) return
  const quoteBy = isBot(open) ? quoteToBot : isWeCom(open) ? quoteToWeCom : quoteToSay
  const values = quoted ? quoteBy(quoted, text) : { kind: 'text', text }
  if (!await say(values)) return
  $('text').value = ''
  quote(null)
}

async function sendFiles (files) {
  for (const file of files) {
    if (file.size > LARGEST) $('problem').textContent = words.large
    else await say(await fileToSay(file))
  }
  $('file').value = ''
}

async function askAsFriend () {
  const id = `new${Date.now()}`
  const text = takeText()
  await order('/sim/people', { add: { id, nickname: words.stranger, kind: 'stranger', contact_flag: 0 } })
  await order('/sim/say', { from: id, to: 'me', kind: 'friend_request', text })
}

function showLogin (state) {
  const codes = state.logins.filter(one => ['waiting', 'scanned'].includes(one.state))
  const chosen = codes.find(one => one.uuid === wanted) || codes[codes.length - 1] || null
  if (chosen && chosen.uuid !== code) $('qr').src = `/qrcode/${chosen.uuid}`
  code = chosen ? chosen.uuid : null
  $('login').hidden = !chosen
  const programs = [Object.keys(state.ilink.bots).length && words.bots, weComOnline() && words.wecomBots, state.online && words.online].filter(Boolean)
  $('web').classList.toggle('on', programs.length > 0)
  $('web-text').textContent = programs.join(' · ') || words.offline
  $('logout').hidden = !state.online
  if (!chosen) return
  const ready = chosen.state === 'scanned' || chosen.push
  $('scan').hidden = ready
  $('confirm').hidden = !ready
  $('login-text').textContent = chosen.state === 'scanned' ? words.scanned : chosen.push ? words.asked : words.waiting
}

const openCodes = state => ({
  bots: state.ilink.codes.filter(one => ['wait', 'scaned', 'need_verifycode'].includes(one.status)),
  wecom: state.wecom.codes.filter(one => ['wait', 'scanned'].includes(one.status)),
  web: state.logins.filter(one => ['waiting', 'scanned'].includes(one.state))
})

function showUse (state) {
  const codes = openCodes(state)
  const web = state.online || codes.web.length > 0
  const usesBots = codes.bots.length + codes.wecom.length + Object.keys(state.ilink.bots).length > 0 || weComKnown(state.wecom)
  if (usesWeb !== (web || !usesBots)) {
    usesWeb = web || !usesBots
    showChats()
  }
  const step = words[nextStep(state, codes)] || ''
  if ($('next').textContent !== step) $('next').textContent = step
  $('next').hidden = !step
}

// Returns the key of the sentence that says what a person does next; empty once messages go both ways.
function nextStep (state, codes) {
  const all = [...codes.bots, ...codes.wecom, ...codes.web]
  if (codes.bots.some(one => one.number)) return 'nextNumber'
  if (all.some(one => [one.state, one.status].some(now => ['scanned', 'scaned'].includes(now)))) return 'nextConfirm'
  if (all.length) return 'nextScan'
  const ilinkBots = Object.values(state.ilink.bots)
  if (ilinkBots.some(one => one.last_in === null)) return 'nextWrite'
  if (ilinkBots.some(one => !one.open || !one.left)) return 'nextWindow'
  const online = Object.values(state.wecom.bots).filter(one => one.online)
  if (online.length && !online.some(one => one.written.length)) return 'nextWrite'
  if (ilinkBots.length || online.length) return state.ilink.sent + state.wecom.sent ? '' : 'nextAnswer'
  if (state.online) return lines.some(one => one.via === 'friend' || one.via === 'phone') ? '' : 'nextTalk'
  return 'nextStart'
}

function showUnread (now) {
  const changed = JSON.stringify(now) !== JSON.stringify(unread)
  unread = now
  if (changed) showChats()
}

async function watchState () {
  for (;;) {
    try {
      const state = await get('/sim/state')
      showLogin(state)
      showUnread(state.unread)
      if (state.people + 1 !== [...people.keys()].filter(id => !isOfBots(id)).length) await readPeople()
      showBots(state.ilink)
      showWeCom(state.wecom)
      showUse(state)
    } catch { $('web-text').textContent = words.gone }
    await new Promise(resolve => setTimeout(resolve, 1000))
  }
}

async function watchLines () {
  let seen = 0
  let recalls = 0
  for (;;) {
    try {
      const feed = await get(`/sim/feed?after=${seen}&recalls=${recalls}&wait=25`)
      if (feed.count < seen) { lines.length = 0; last.clear(); seen = recalls = 0; continue }
      feed.lines.forEach(add)
      recall(feed.recalled)
      seen = feed.count
      recalls = feed.recalls
      if (feed.lines.length) showChats()
    } catch { await new Promise(resolve => setTimeout(resolve, 2000)) }
  }
}

async function readPeople () {
  const found = await get('/sim/people')
  for (const id of people.keys()) if (!isOfBots(id)) people.delete(id)
  for (const person of found) people.set(person.id, person)
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
  $('unquote').addEventListener('click', () => quote(null))
  $('more-kinds').addEventListener('click', () => {
    $('kinds').hidden = !$('kinds').hidden
    $('more-kinds').setAttribute('aria-expanded', String(!$('kinds').hidden))
  })
  $('pick').addEventListener('click', () => $('file').click())
  $('file').addEventListener('change', () => sendFiles([...$('file').files]))
  $('text').addEventListener('keydown', event => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) $('compose').requestSubmit()
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) event.preventDefault()
  })
  startBots()
  startWeCom()
  await readPeople()
  if (wanted) await order('/sim/scan', { uuid: wanted })
  watchState()
  watchLines()
  watchBotLines()
  watchWeComLines()
}

start()
