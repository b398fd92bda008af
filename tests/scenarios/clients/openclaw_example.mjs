// The official iLink client (a channel of OpenClaw), as its host runs it: log in, receive, answer, fetch and send media.
// Prints what it receives and does as lines of JSON. It waits for a line of input before it sends, and before it ends.
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import readline from 'node:readline'

const [folder, files] = [process.argv[2], JSON.parse(process.argv[3])]
const { weixinPlugin: plugin } = await import(pathToFileURL(path.join(folder, 'dist/src/channel.js')).href)
const report = values => process.stdout.write('\n' + JSON.stringify(values) + '\n')
const cfg = { channels: { 'openclaw-weixin': {} } }
const sha256 = data => crypto.createHash('sha256').update(data).digest('hex')

await plugin.auth.login({ cfg, accountId: 'home', runtime: { log: () => {} } })
const [accountId] = plugin.config.listAccountIds(cfg)
const account = plugin.config.resolveAccount(cfg, accountId)
report({ what: 'logged in', account: accountId, base: account.baseUrl })

let saved = 0
const saveMediaBuffer = async (data, type, subdir, limit, name) => {
  const file = path.resolve(`saved${++saved}`)
  fs.writeFileSync(file, data)
  report({ what: 'media', type: type || '', name: name || '', sha256: sha256(data), head: data.subarray(0, 4).toString('latin1') })
  return { path: file }
}

let person = ''
async function answer ({ ctx, dispatcher, replyOptions }) {
  person = ctx.To
  report({ what: 'message', from: ctx.From, text: ctx.Body, quoted: ctx.ReplyToBody, part: ctx.ReplyToQuoteText })
  if (ctx.Body !== '开灯 ☀ <3\n第二行') return
  const tool = { kind: 'tool', name: 'lamp', itemId: '1' }
  await dispatcher.typing.start()
  await replyOptions.onItemEvent({ ...tool, phase: 'start' })
  await replyOptions.onItemEvent({ ...tool, phase: 'end', status: 'completed' })
  await dispatcher.deliver({ text: '好的 ☀' })
  await dispatcher.typing.stop()
  report({ what: 'answered' })
}

const channelRuntime = {
  media: { saveMediaBuffer },
  commands: {},
  routing: { resolveAgentRoute: () => ({ agentId: 'main', sessionKey: 'main', mainSessionKey: 'main' }) },
  session: { resolveStorePath: () => path.resolve('sessions'), recordInboundSession: async () => {} },
  reply: {
    finalizeInboundContext: ctx => ctx,
    resolveHumanDelayConfig: () => undefined,
    createReplyDispatcherWithTyping: ({ typingCallbacks, deliver }) => ({
      dispatcher: { deliver, typing: typingCallbacks }, replyOptions: {}, markDispatchIdle: () => {}
    }),
    withReplyDispatcher: ({ run }) => run(),
    dispatchReplyFromConfig: answer
  }
}

const stop = new AbortController()
const runtime = { log: () => {}, error: text => report({ what: 'error', text }) }
const running = plugin.gateway.startAccount({ cfg, account, runtime, channelRuntime, abortSignal: stop.signal, setStatus: () => {} })
running.catch(error => report({ what: 'error', text: String(error) }))
report({ what: 'running' })

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
await lines.next()
for (const file of files) {
  const sent = await plugin.outbound.sendMedia({ cfg, to: person, accountId, text: '', mediaUrl: path.resolve(file) })
  report({ what: 'sent', id: sent.messageId })
}
const last = await plugin.outbound.sendText({ cfg, to: person, accountId, text: '完成 one two one' })
report({ what: 'done', id: last.messageId })
await lines.next()
stop.abort()
await running.catch(() => {})
await plugin.gateway.stopAccount({ account })
report({ what: 'gone' })
process.exit(0)
