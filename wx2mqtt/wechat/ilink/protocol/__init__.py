"""The iLink protocol as pure functions: requests, responses, messages, encryption. No I/O."""
