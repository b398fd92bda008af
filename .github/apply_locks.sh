#!/bin/sh
# Applies a patch that changes lines of existing lock files: sh .github/apply_locks.sh PATCH
# Refuses any other patch with exit status 1 and changes nothing then. The patch comes from a machine on which packages ran.
set -eu

locks=$(git ls-files '*.lock')
changed=$(git apply --numstat "$1" | cut -f 3)
for path in $changed; do
    printf '%s\n' "$locks" | grep -Fqx -- "$path" || { echo "$1 changes $path, which is no lock file" >&2; exit 1; }
done
# New files, deleted ones, other modes and links.
if [ -n "$(git apply --summary "$1")" ]; then
    echo "$1 changes more than lines of lock files:" >&2
    git apply --summary "$1" >&2
    exit 1
fi
git apply "$1"
