"""The backend for web WeChat, the protocol of the browser client.

Citations such as (webwx 2.2) are statements of docs/en/development/webwx-protocol.md.
"""
