// The client of WeCom's bots for Node, as its readme shows it: subscribe, receive, answer, send, be replaced.
//
// Arguments: the folder of the client, the URL of the gateway, bot id, secret, a userid, the files that it sends.
// Prints what it receives and does as lines of JSON. It sends once for each line of input.
'use strict'
const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const readline = require('readline')

const [folder, wsUrl, botId, secret, userid, names] = process.argv.slice(2)
const { WSClient } = require(folder)
const report = values => process.stdout.write(JSON.stringify(values) + '\n')
const silent = () => {}
const logger = { debug: silent, info: silent, warn: silent, error: silent }
const client = new WSClient({ botId, secret, wsUrl, logger })
const TYPES = { '.jpg': 'image', '.mp4': 'video', '.amr': 'voice' }

const card = (taskId, more = {}) => ({
  card_type: 'button_interaction',
  main_title: { title: '开灯吗？' },
  button_list: [{ text: '开', style: 1, key: 'on' }, { text: '关', style: 2, key: 'off' }],
  task_id: taskId,
  ...more
})

const failing = handler => async frame => {
  try { await handler(frame) } catch (error) { report({ what: 'error', error: String(error?.message || JSON.stringify(error)) }) }
}

client.on('authenticated', () => report({ what: 'authenticated' }))
client.on('message', failing(async frame => {
  const { body } = frame
  const texts = []
  const hashes = []
  for (const part of body.msgtype === 'mixed' ? body.mixed.msg_item : [body]) {
    const content = part[part.msgtype]
    if (content.url) {
      const { buffer } = await client.downloadFile(content.url, content.aeskey)
      hashes.push(crypto.createHash('sha256').update(buffer).digest('hex'))
    } else texts.push(content.content)
  }
  report({ what: 'message', id: body.msgid, kind: body.msgtype, texts, hashes, quoted: body.quote?.text?.content || '' })
  if (!texts.length) return
  await client.replyStream(frame, body.msgid, '想一想', false)
  await client.replyStream(frame, body.msgid, `**${texts[0]}** ✓`, true)
  report({ what: 'answered' })
}))
client.on('event.enter_chat', failing(async frame => {
  await client.replyWelcome(frame, { msgtype: 'text', text: { content: '你好' } })
  report({ what: 'welcomed' })
}))
client.on('event.template_card_event', failing(async frame => {
  const event = frame.body.event.template_card_event
  await client.updateTemplateCard(frame, card(event.task_id, { card_action: { type: 1, url: 'https://example.org' } }))
  report({ what: 'pressed', key: event.event_key, task: event.task_id })
}))
client.on('event.disconnected_event', () => report({ what: 'replaced' }))
client.on('disconnected', () => report({ what: 'disconnected' }))

readline.createInterface({ input: process.stdin }).on('line', failing(async () => {
  await client.sendMessage(userid, { msgtype: 'markdown', markdown: { content: '# 回家' } })
  await client.sendMessage(userid, { msgtype: 'template_card', template_card: card('task-1') })
  for (const name of JSON.parse(names)) {
    const type = TYPES[path.extname(name)] || 'file'
    const { media_id: mediaId } = await client.uploadMedia(fs.readFileSync(name), { type, filename: path.basename(name) })
    await client.sendMediaMessage(userid, type, mediaId)
  }
  report({ what: 'sent' })
}))
client.connect()
