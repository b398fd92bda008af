"""Media: the files, thumbnails and avatars that come with messages.

`downloader.py` downloads them, `retries.py` decides when a failed download is tried again, `inline.py` holds
a message until its small file is there. `library.py` finds stored files, `request.py` answers the request
`media`, `payloads.py` makes the JSON, `service.py` builds all of them.
"""
