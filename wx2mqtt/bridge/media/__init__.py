"""Media: the files, thumbnails and avatars that come with messages.

- `downloader.py` downloads them; `download_retries.py` says when it tries again.
- `inline_files.py` lets a message wait for its small file.
- `stored_media.py` finds stored files, with which `media_request.py` answers the request `media`.
- `media_payloads.py` makes the JSON.
"""
