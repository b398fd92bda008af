// Redirects a client of WeChat to the simulator without changing the client: only the names of WeChat are replaced.
'use strict'
const tls = require('tls')
const connect = tls.connect
tls.connect = (options, ...rest) => {
  if (options && /\.(qq|wechat)\.com$/.test(options.host || '')) {
    options = { ...options, servername: options.host, host: '127.0.0.1', port: Number(process.env.SIMULATOR_PORT) }
  }
  return connect(options, ...rest)
}
