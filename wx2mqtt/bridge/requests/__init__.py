"""Requests: `bridge/request/<name>`, answered on `bridge/response/<name>`.

`dispatcher.py` has one request with its answer, and finds its handler. `account_requests.py` has the handlers
that read or control the bridge. `action_requests.py` has those that change something at WeChat, carried out
by `action_runner.py`. The handler of `media` is `bridge/media/media_request.py`. `send` and `recall` are
commands (`bridge/commands`).
"""
