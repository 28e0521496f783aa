#!/usr/bin/env bash
# What the emulation of the kernels finds (kernels/emu): tests of the tests. Speaks TAP.
#
#   EMU_DIR   the build's folder, default build/release
set -u
cd "$(dirname "$0")/../.." || exit 1
faults=${EMU_DIR:-build/release}/tests/gpu/emu_faults
n=0 failed=0

# result STATUS NAME: a line of TAP; what was said, when it is a failure.
result() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        printf '%s\n' "$said" | sed 's/^/# /'
        failed=1
    fi
}

# dies FAULT WORDS: the process is ended, with one line that holds the words.
dies() {
    said=$("$faults" "$1" 2>&1)
    [ $? != 0 ] && [[ $said == *"cuemu: "*"$2"* ]]
    result $? "$1: $2"
}

in_every_order() { # FAULT: what it prints in each order, once each
    for order in forward reverse random:1 random:2; do
        BP_CUEMU_ORDER=$order "$faults" "$1"
    done | sort -u
}

said=$(in_every_order none)
[ "$said" = 2016 ]
result $? 'a kernel with its barrier gives one result in every order'
said=$(in_every_order no-barrier)
[ "$(wc -l <<<"$said")" -gt 1 ] || [ "$said" != 2016 ]
result $? 'a kernel without its barrier does not'
dies missing-lane 'a collective waits for lanes that never come, in (missing_lane), block (0,0,0)'
dies different 'lanes of one warp meet in different collectives'
dies outside 'a shuffle reads a lane that is not in the mask or has ended'
dies not-in-mask 'a lane calls a collective whose mask leaves it out'
dies too-large 'launched with a size that no device takes'
echo "1..$n"
exit $failed
