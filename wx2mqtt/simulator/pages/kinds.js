// What can be sent from the phone, and how a message of each kind is shown. Everything is text, never markup.
'use strict'

// Names in English and Chinese; `say` turns the text of the field into what /sim/say takes beside from, to and kind.
const KINDS = {
  text: { names: ['Text', '文字'] },
  image: { names: ['Picture', '图片'] },
  voice: { names: ['Voice', '语音'] },
  video: { names: ['Video', '视频'] },
  sticker: { names: ['Sticker', '表情'] },
  file: { names: ['File', '文件'], say: text => ({ text: text && (text.includes('.') ? text : text + '.pdf') }) },
  location: { names: ['Location', '位置'] },
  link: { names: ['Link', '链接'] },
  card: { names: ['Card', '名片'], say: text => ({ detail: text ? { nickname: text } : {} }) },
  mini_program: { names: ['Mini program', '小程序'] },
  music: { names: ['Music', '音乐'] },
  chat_history: { names: ['Chat history', '聊天记录'] },
  channels: { names: ['Channels', '视频号'] },
  app_transfer: { names: ['Transfer', '转账'], say: text => ({ detail: text ? { amount: '￥' + text.replace('￥', '') } : {} }) },
  'system:red_packet': { names: ['Red packet', '红包'], say: () => ({}) },
  call: { names: ['Call', '通话'], say: () => ({}) },
  pat: { names: ['Pat', '拍一拍'], say: () => ({}) },
  friend_request: { names: ['Friend request', '好友请求'] }
}
// Sent otherwise than by a button of its own, or only by the control.
const OTHERS = { quote: ['Quote', '引用'], mixed: ['Text and picture', '图文'], store_sticker: ['Store sticker', '商店表情'], app_red_packet: ['Red packet', '红包'] }
const REFERS = { image: 3, voice: 34, video: 43, sticker: 47, location: 48, text: 1 }
const LARGEST = 20 * 1024 * 1024

const mediaPath = line => line.path || `/sim/media/${line.msg_id}`
const kindName = kind => (KINDS[kind]?.names || OTHERS[kind] || [kind, kind])[language === 'zh' ? 1 : 0]
const toSay = (kind, text) => ({ kind, ...(KINDS[kind].say || (() => ({ text })))(text) })

function kindOf (file) {
  if (file.type === 'image/gif') return 'sticker'
  if (['image/jpeg', 'image/png', 'image/bmp'].includes(file.type)) return 'image'
  if (file.type === 'video/mp4') return 'video'
  return file.type === 'audio/mpeg' ? 'voice' : 'file'
}

const base64Of = file => new Promise((resolve, reject) => {
  const reader = new FileReader()
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1))
  reader.onerror = () => reject(reader.error)
  reader.readAsDataURL(file)
})

async function fileToSay (file) {
  const kind = kindOf(file)
  return { kind, text: kind === 'file' ? file.name : '', data: await base64Of(file) }
}

const sizeText = bytes => bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} kB` : `${(bytes / 1048576).toFixed(1)} MB`
const summary = line => line.kind === 'text' || line.via === 'system' ? line.text : `[${kindName(line.kind)}] ${line.text}`.trim()

function player (tag, line) {
  const made = element(tag, 'media')
  made.controls = true
  made.preload = 'none'
  made.src = mediaPath(line)
  if (tag === 'video' && !line.path) made.poster = `${mediaPath(line)}?thumbnail`
  made.setAttribute('aria-label', summary(line))
  return made
}

function shown (line) {
  if (!line.media || line.recalled) return null
  const type = ['audio/silk', 'audio/amr'].includes(line.media.mime) ? 'file' : line.media.mime.split('/')[0]
  if (type === 'audio' || type === 'video') return player(type, line)
  const link = element('a', 'media', type === 'image' ? undefined : `${line.media.name || kindName(line.kind)} · ${sizeText(line.media.size)}`)
  link.href = mediaPath(line)
  link.target = '_blank'
  if (type !== 'image') {
    link.download = line.media.name
    return link
  }
  const picture = document.createElement('img')
  picture.loading = 'lazy'
  picture.src = link.href
  picture.alt = summary(line)
  picture.addEventListener('error', () => picture.replaceWith(sizeText(line.media.size)))
  link.append(picture)
  return link
}

const quoteOf = line => ({
  refer_type: REFERS[line.kind] || 49,
  refer_id: line.msg_id,
  refer_name: nameOf(line.sender),
  refer_from: people.get(line.sender)?.wxid || '',
  refer_text: line.text || `[${kindName(line.kind)}]`
})
