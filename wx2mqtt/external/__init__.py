"""Services outside of WeChat and the broker: local files, downloads by URL, alerts by other services."""
