"""WeChat: one seam, and the backends behind it."""
