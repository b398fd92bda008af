"""Web WeChat, the browser client's protocol: a pure core, one door to HTTP, a few conversations above it."""
