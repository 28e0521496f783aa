# What the command-line tests share. Every test runs in an empty folder of its own.
#
#   BITPLAN     the program, default build/bitplan of this project
#   BP_SHARED   real models and index files, default ../shared beside the project; tests that need
#               it are skipped without it
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
# A launcher of the tests is none of bitplan.
unset "${!SLURM_@}" "${!OMPI_COMM_@}" "${!PMI_@}" MPI_LOCALNRANKS
: "${BITPLAN:=$project/build/bitplan}" "${BP_SHARED:=$project/../shared}"
case $BITPLAN in
/*) ;;
*) BITPLAN=$PWD/$BITPLAN ;;
esac
export BITPLAN BP_SHARED

# What is made once for a file of tests.
model=$BATS_FILE_TMPDIR/model       # 7 matrices of 64 x 64 to 256 x 64, BF16
table=$BATS_FILE_TMPDIR/table.safetensors
plan=$BATS_FILE_TMPDIR/plan.json    # of the table
two=b0=2,3:b1=4:b2=fp32:B0=64:B1=256
quick=(--grid "$two" --rank 4 --iterations 3 --progress none)
export model table plan two

setup() {
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work" || return
}

make_model() { # DIR [OPTION...]
    "$BITPLAN" sample "$1" --layers 1 --hidden 64 --progress none "${@:2}" >/dev/null
}

make_table() {
    make_model "$model" && "$BITPLAN" measure "$model" -o "$table" "${quick[@]}" >/dev/null
}

# --- running ---

# attempt COMMAND...: sets status, output and stderr, and does not fail.
attempt() {
    last=$*
    status=0
    output=$("$@" 2>"$BATS_TEST_TMPDIR/stderr") || status=$?
    stderr=$(<"$BATS_TEST_TMPDIR/stderr")
}

show_last() {
    printf '%s\nstatus %s\n--- stdout\n%.3000s\n--- stderr\n%.3000s\n' \
        "$last" "$status" "$output" "$stderr"
    return 1
}

# works ARG...: bitplan ends well and says nothing on stderr.
works() {
    attempt "$BITPLAN" "$@"
    [[ $status -eq 0 && -z $stderr ]] || show_last
}

# refuses STATUS TEXT ARG...: that status, nothing on stdout, one line on stderr that holds TEXT.
refuses() {
    local want=$1 text=$2
    shift 2
    attempt "$BITPLAN" "$@"
    is_refusal "$want" "$text"
    [[ -z $output ]] || show_last
}

# The same about the last attempt, whatever stands on stdout.
is_refusal() {
    [[ $status -eq $1 && $stderr == "bitplan: "* && $stderr != *$'\n'* && $stderr == *"$2"* ]] ||
        show_last
}

# says TEXT...: the last output holds each.
says() {
    local text
    for text; do
        [[ $output == *"$text"* ]] || show_last
    done
}

says_stderr() {
    local text
    for text; do
        [[ $stderr == *"$text"* ]] || show_last
    done
}

# json FILTER: the last output is one JSON document for which the filter is true.
json() {
    jq -e "$@" <<<"$output" >/dev/null || show_last
}

# --- files ---

absent() {
    [[ ! -e $1 && ! -L $1 ]] || {
        echo "$1 is there"
        return 1
    }
}

differ() {
    if cmp -s "$1" "$2"; then
        echo "$1 and $2 are equal"
        return 1
    fi
}

# holds DIR NAME...: the folder holds these, and nothing else: no temporary file.
holds() {
    local have want
    have=$(cd "$1" && find . -mindepth 1 -maxdepth 1 | sort)
    want=$(printf './%s\n' "${@:2}" | sort)
    [[ $have == "${2+$want}" ]] || {
        printf '%s holds:\n%s\n' "$1" "$have"
        return 1
    }
}

# --- Python, NumPy, real data, mounts: what a machine may lack ---

st_tool() {
    python3 "$here/st_tool.py" "$@"
}

# edit_header FILE JQ-ARGUMENT...: the header of a safetensors file, changed by jq; the data stays.
edit_header() {
    st_tool edit "$@"
}

need_python() {
    command -v python3 >/dev/null || skip "no python3"
}

# use_python MODULE: sets python to one that has it; skips where none has.
use_python() {
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $1" 2>/dev/null && return
    done
    skip "no Python with $1"
}

need_shared() { # PATH
    [[ -e $BP_SHARED/$1 ]] || skip "no $BP_SHARED/$1"
}

need_mounts() {
    unshare -rm sh -c 'mount -t tmpfs none /mnt' 2>/dev/null || skip "no mounts in a namespace"
}

# on_small_disk SIZE COMMAND...: runs the command beside ./disk, a file system of that size; what it
# holds afterwards stands in ./disk.list.
on_small_disk() {
    mkdir -p disk
    # shellcheck disable=SC2016 # for the inner shell
    unshare -rm sh -c 'mount -t tmpfs -o size=$1 none disk || exit 99
        shift; "$@"; status=$?; find disk -mindepth 1 >disk.list; exit $status' sh "$@"
}

# in_locked_folder COMMAND...: attempts the command beside ./locked, a folder that takes no file.
in_locked_folder() {
    mkdir -p locked
    if [[ $EUID -eq 0 ]]; then
        need_mounts
        # shellcheck disable=SC2016 # for the inner shell
        attempt unshare -rm sh -c 'mount -t tmpfs -o ro none locked || exit 99; "$@"' sh "$@"
    else
        chmod 555 locked
        attempt "$@"
        chmod 755 locked
    fi
    holds locked
}
