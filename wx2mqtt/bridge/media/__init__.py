"""Media: the files, thumbnails and avatars that come with messages.

`downloader.py` downloads them, and builds the other parts. `inline.py` lets a message wait for its small
file. `library.py` finds stored files and answers the request `media`. `payloads.py` makes the JSON.
"""
