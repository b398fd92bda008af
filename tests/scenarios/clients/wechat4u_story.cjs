// wechat4u as its readme shows it: log in, list people, receive, answer. Tells what it sees as lines of JSON.
'use strict'
const Wechat = require('wechat4u')
const tell = values => process.stdout.write(JSON.stringify(values) + '\n')

const bot = new Wechat()
const seen = new Set()
bot.on('error', error => tell({ what: 'error', text: String(error.tips || error.message || error) }))
bot.on('login', () => tell({ what: 'running' }))
bot.on('contacts-updated', contacts => {
  contacts.forEach(contact => seen.add(bot.contacts[contact.UserName].getDisplayName()))
  if (contacts.length > 10) tell({ what: 'people', people: [...seen] })
})
bot.on('message', message => {
  if (message.MsgType !== bot.CONF.MSGTYPE_TEXT || message.isSendBySelf) return
  tell({ what: 'message', name: bot.contacts[message.FromUserName].getDisplayName(), text: message.Content })
  bot.sendMsg('好的 ☀', message.FromUserName).then(sent => tell({ what: 'answered', ret: sent.BaseResponse.Ret }))
})
bot.on('logout', () => tell({ what: 'gone' }))
process.stdin.once('data', () => { bot.stop(); process.stdin.pause() })
bot.start()
