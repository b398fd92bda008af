"""The web WeChat protocol as pure functions: requests, responses, messages. No I/O."""
