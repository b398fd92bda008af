// wechat4u as its readme shows it: log in, list people, receive, answer, fetch and send media.
// Prints what it receives and does as lines of JSON. It waits for a line of input before it sends, and before it ends.
'use strict'
const crypto = require('crypto')
const fs = require('fs')
const Wechat = require('wechat4u')
const report = values => process.stdout.write(JSON.stringify(values) + '\n')

const bot = new Wechat()
const { MSGTYPE_TEXT, MSGTYPE_IMAGE, MSGTYPE_VOICE, MSGTYPE_VIDEO, MSGTYPE_EMOTICON, MSGTYPE_APP, MSGTYPE_VERIFYMSG } = bot.CONF
const seen = new Set()
bot.on('error', error => report({ what: 'error', text: String(error.tips || error.message || error) }))
bot.on('login', () => report({ what: 'running' }))
bot.on('contacts-updated', contacts => {
  contacts.forEach(contact => seen.add(bot.contacts[contact.UserName].getDisplayName()))
  if (contacts.length > 10) report({ what: 'people', people: [...seen] })
})

const fetchers = {
  [MSGTYPE_IMAGE]: message => bot.getMsgImg(message.MsgId),
  [MSGTYPE_EMOTICON]: message => bot.getMsgImg(message.MsgId),
  [MSGTYPE_VOICE]: message => bot.getVoice(message.MsgId),
  [MSGTYPE_VIDEO]: message => bot.getVideo(message.MsgId),
  [MSGTYPE_APP]: message => bot.getDoc(message.FromUserName, message.MediaId, message.FileName)
}
bot.on('message', async message => {
  if (message.isSendBySelf) return
  if (fetchers[message.MsgType]) {
    const { data } = await fetchers[message.MsgType](message)
    report({ what: 'media', type: message.MsgType, sha256: crypto.createHash('sha256').update(data).digest('hex') })
  } else if (message.MsgType === MSGTYPE_VERIFYMSG) {
    await bot.verifyUser(message.RecommendInfo.UserName, message.RecommendInfo.Ticket)
    report({ what: 'befriended' })
  } else if (message.MsgType === MSGTYPE_TEXT) {
    report({ what: 'message', name: bot.contacts[message.FromUserName].getDisplayName(), text: message.Content })
    const sent = await bot.sendMsg('好的 ☀', message.FromUserName)
    report({ what: 'answered', ret: sent.BaseResponse.Ret })
  }
})
bot.on('logout', () => report({ what: 'gone' }))

async function send () {
  const wife = Object.values(bot.contacts).find(one => one.RemarkName === '老婆').UserName
  for (const name of JSON.parse(process.argv[2])) {
    const sent = await bot.sendMsg({ file: fs.readFileSync(name), filename: name }, wife)
    report({ what: 'sent', ret: sent.BaseResponse.Ret })
  }
  const sent = await bot.sendMsg('falsch', wife)
  await bot.revokeMsg(sent.MsgID, wife)
  const { data } = await bot.getHeadImg(bot.contacts[wife].HeadImgUrl)
  report({ what: 'done', picture: Buffer.from(data).subarray(0, 3).toString('hex') })
}
process.stdin.once('data', () => {
  send().catch(error => report({ what: 'error', text: String(error.tips || error.stack) }))
  process.stdin.once('data', () => { bot.stop(); process.stdin.pause() })
})
bot.start()
