"""Everything on one machine with no account: simulated WeChat, a broker and the real bridge."""
