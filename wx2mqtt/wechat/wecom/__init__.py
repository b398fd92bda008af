"""The backend for WeCom's bot (智能机器人) over its long connection: one outbound WebSocket.

A *callback* is a frame that WeCom sends by itself: a message or an event. An *answer* belongs to a request of
the bridge. The *bot* is what the credentials (bot id and secret) log in.

Citations such as (wecom 2.6) are statements of docs/en/development/wecom-protocol.md.
"""
