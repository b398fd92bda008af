"""The protocol of WeCom's long connection as pure functions: frames, messages, cards, files. No I/O."""
