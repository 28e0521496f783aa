#!/usr/bin/env bash
# Replays every fuzz corpus through its program; one TAP line a file. REPLAY_DIR names the folder
# with the programs: corpus/table goes through replay_table.
set -u
cd "$(dirname "$0")/../.." || exit 1
programs=${REPLAY_DIR:-build/release/tests/fuzz}
n=0 failed=0
for file in tests/fuzz/corpus/*/*; do
    n=$((n + 1))
    target=$(basename "$(dirname "$file")")
    if "$programs/replay_$target" "$file"; then
        echo "ok $n - $target/$(basename "$file")"
    else
        echo "not ok $n - $target/$(basename "$file")"
        failed=1
    fi
done
echo "1..$n"
exit $failed
