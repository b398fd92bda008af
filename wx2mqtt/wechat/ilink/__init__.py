"""The backend for Tencent's official bot API, iLink (Tencent's package 2.4.9).

Citations such as (ilink 4.3) are statements of docs/en/development/ilink-protocol.md.
"""
