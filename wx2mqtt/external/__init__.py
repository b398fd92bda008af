"""Files and HTTP outside of WeChat and the broker: local files, downloads by URL, fallback alerts."""
