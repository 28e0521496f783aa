#!/usr/bin/env bash
# Replays the fuzz corpus through the reader; one TAP line a file. REPLAY names the program.
set -u
cd "$(dirname "$0")/../.." || exit 1
replay=${REPLAY:-build/release/tests/fuzz/replay_safetensors}
n=0 failed=0
for file in tests/fuzz/corpus/safetensors/*; do
    n=$((n + 1))
    if "$replay" "$file"; then
        echo "ok $n - $(basename "$file")"
    else
        echo "not ok $n - $(basename "$file")"
        failed=1
    fi
done
echo "1..$n"
exit $failed
