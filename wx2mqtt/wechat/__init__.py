"""WeChat: the interface of a backend, and the backends behind it."""
