"""A simulator of Tencent's bot interface, iLink: one bot for each person who scanned, and their phones.

The modules of web WeChat import it; it imports only their shared helpers.
"""
