// Clients of ntfy and Gotify for Node, as their readmes show them: each sends a text, and a file where it can.
//
// Arguments: the folder of the clients, the name of one, the URL of the server, the token, the folder of `door.png`.
// Prints what the server answered as lines of JSON; and at last how the client reports a refusal.
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [folder, name, url, token, files] = process.argv.slice(2)
const require = createRequire(path.join(folder, 'package.json'))
const report = values => process.stdout.write(JSON.stringify(values) + '\n')
const WRONG = 'w'.repeat(40)

const stories = {
  async ntfy () {
    const { NtfyClient } = await import(pathToFileURL(path.join(folder, 'node_modules/ntfy/dist/index.js')))
    const authorization = { username: 'any', password: token }
    const client = new NtfyClient({ server: url, topic: 'wife', authorization })
    const actions = [{ type: 'view', label: 'Open', url: 'http://nas/' }]
    report({ answer: await client.publish({ message: '磁盘满了', title: 'NAS', priority: 5, tags: ['warning'], actions }) })
    report({ answer: await client.publish({ fileAttachment: path.join(files, 'door.png'), title: 'Door' }) })
    const wrong = { username: 'any', password: WRONG }
    await client.publish({ message: 'no', authorization: wrong }).catch(error => report({ refused: error.message }))
  },
  async gotify () {
    const { gotify } = require('gotify')
    report({ answer: await gotify({ server: url, app: token, title: 'NAS', message: '磁盘满了', priority: 8 }) })
    await gotify({ server: url, app: WRONG, message: 'no' }).catch(error => report({ refused: error.response.statusCode }))
  },
  async 'gotify-client' () {
    const { GotifyClient } = require('gotify-client')
    const message = { title: 'NAS', message: '磁盘满了', priority: 9, extras: {} }
    report({ answer: await new GotifyClient(url, { app: token }).message.createMessage(message) })
    const refused = await new GotifyClient(url, { app: WRONG }).message.createMessage(message)
    report({ refused: refused.errorCode })
  }
}

await stories[name]()
