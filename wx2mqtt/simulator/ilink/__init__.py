"""Tencent's bot interface, iLink, simulated: a bot for each person who scanned, and the phone they write on.

Stands below the rest of the simulator and knows nothing of web WeChat.
"""
