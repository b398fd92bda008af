"""Requests that change something at WeChat: who and what is meant, one attempt, and what became of it."""
