"""The bridge's own web server: who may come in, and the bytes of messages at /media/<id>."""
