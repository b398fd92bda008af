"""The web server: the status page, the files of messages, health, metrics, and authentication."""
