"""The endpoints of web WeChat, grouped by purpose; one function for each call of a client."""
