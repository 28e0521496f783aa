#!/usr/bin/env bash
# Runs test suites side by side and adds up what they say.
#
#   tests/run.sh RESULTS_DIR SUITE...
#   tests/run.sh --sum RESULTS_DIR...
#
# A suite is a cmocka program, a .bats file or a shell script that speaks TAP. One line a suite; the
# whole output of one that failed; the last line is "N passed, N failed, N skipped".
set -uo pipefail

skip_line='^(not )?ok .*# *skip'

# Runs one suite; its output goes to RESULTS_DIR/NAME.tap, its exit status is this script's.
run_one() {
    local results=$1 suite=$2 name start status
    name=$(basename "$suite")
    start=$SECONDS
    case $suite in
    *.bats) bats --tap "$suite" ;;
    *.sh) bash "$suite" ;;
    *) CMOCKA_MESSAGE_OUTPUT=TAP "$suite" ;;
    esac >"$results/$name.tap" 2>&1 </dev/null
    status=$?
    local ok bad skipped
    # cmocka says "not ok N # SKIP NAME", bats "ok N NAME # skip WHY".
    skipped=$(grep -ciE "$skip_line" "$results/$name.tap")
    ok=$(grep -viE "$skip_line" "$results/$name.tap" | grep -c '^ok ')
    bad=$(grep -viE "$skip_line" "$results/$name.tap" | grep -c '^not ok ')
    # A suite that died before its failures were counted, or that ran nothing, has failed.
    if [ "$bad" = 0 ] && { [ "$status" != 0 ] || [ "$((ok + skipped))" = 0 ]; }; then
        bad=1
    fi
    echo "$ok $bad $skipped" >"$results/$name.count"
    printf '  %-34s %4d passed, %d failed, %d skipped  (%d s)\n' "$name" "$ok" "$bad" "$skipped" \
        $((SECONDS - start))
    [ "$bad" = 0 ] || sed 's/^/    /' "$results/$name.tap"
}

if [ "$1" = --one ]; then
    run_one "$2" "$3"
    exit 0
fi

# Adds up the counts of result folders.
sum() {
    local passed=0 failed=0 skipped=0 ok bad skip dir count
    for dir in "$@"; do
        for count in "$dir"/*.count; do
            read -r ok bad skip <"$count"
            passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
        done
    done
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}

if [ "$1" = --sum ]; then
    shift
    sum "$@"
    exit
fi

results=$1
shift
rm -rf "$results"
mkdir -p "$results"
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash "$0" --one "$results" {}
grep -hiE "$skip_line" "$results"/*.tap | sed -E 's/^(not )?ok [0-9 -]*/  skipped: /' | sort -u || true
sum "$results"
