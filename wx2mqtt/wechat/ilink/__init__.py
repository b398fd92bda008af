"""The backend for Tencent's official bot API, iLink (Tencent's package 2.4.9)."""
