"""A simulator of WeCom's bots over the long connection: one gateway, people who write to a bot, one group.

A program connects with a WebSocket to `/`, subscribes with the id and the secret of a bot, and then gets
callbacks and sends commands. Beside it are the two calls of the login by scan, and the files of people.
`gateway.py` is the entry, and has the table of commands. Web WeChat's modules import this package.
"""
