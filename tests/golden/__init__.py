"""What others read of the bridge, recorded: a change of the code's shape must leave each of these bytes as it is.

`recorded/` has one file for each part: the payloads of a scripted run of each backend, the schemas, the metrics, every
sentence in both languages, the answers of the command line, and the problems of wrong configurations.
`python -m tests.golden` records them anew; the difference is then part of the change, and is read with it.
"""
