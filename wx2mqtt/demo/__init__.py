"""`wx2mqtt demo`: the real bridge with a simulated WeChat and an embedded broker; needs no account."""
