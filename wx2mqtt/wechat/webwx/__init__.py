"""The backend for web WeChat, the protocol of the browser client."""
