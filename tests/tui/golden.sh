#!/usr/bin/env bash
# Frames of the workbench against those in tests/tui/golden/NAME-COLSxROWS[-ascii].txt. Speaks TAP.
# What differs is shown; GOLDEN_UPDATE=1 (make golden) writes the files anew instead.
#
# Every document is replayed twice, in folders of different names: a frame depends on the table and
# the keys alone.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
golden=$here/golden
: "${BITPLAN:=$project/build/bitplan}"
case $BITPLAN in
/*) ;;
*) BITPLAN=$PWD/$BITPLAN ;;
esac
n=0 failed=0 skipped='^$'
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/frames"

say() { # ok|"not ok" NAME
    n=$((n + 1))
    echo "$1 $n - $2"
    [ "$1" = ok ] || failed=1
}

check_none() { # NAME OFFENDERS
    if [ -z "$2" ]; then
        say ok "$1"
    else
        say 'not ok' "$1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}

# play FOLDER TABLE OPTION... -- WORD...: replays the words in the folder, frames in FOLDER/dump.
play() {
    local folder=$1 table=$2 options=()
    shift 2
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    mkdir -p "$folder"
    cp "$table" "$folder/table.safetensors"
    (cd "$folder" && env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME="$folder" \
        ASAN_OPTIONS="${ASAN_OPTIONS-}" UBSAN_OPTIONS="${UBSAN_OPTIONS-}" \
        "$BITPLAN" table.safetensors --size 80x24 "${options[@]}" --dump dump --script "$*")
}

# frames DOCUMENT TABLE WORD...: replays the words at 80 x 24, once with all characters and once in
# ASCII. Behind a word, @NAME keeps the frame at the three sizes, @NAME=COLSxROWS... at those.
frames() {
    local document=$1 table=$2 word size sizes words=() kept=() ascii
    shift 2
    for word; do
        if [[ $word != @* ]]; then
            words+=("$word")
            continue
        fi
        word=${word#@}
        sizes='200x60 120x36 80x24'
        [[ $word != *=* ]] || sizes=${word#*=}
        for size in $sizes; do
            words+=("size:$size")
            kept+=("${#words[@]} ${word%%=*}-$size")
        done
        [ "$size" = 80x24 ] || words+=(size:80x24)
    done
    for ascii in '' --ascii; do
        # shellcheck disable=SC2086 # no option or one
        if ! play "$tmp/one$ascii/$document" "$table" $ascii -- "${words[@]}" ||
            ! play "$tmp/another folder$ascii/$document" "$table" $ascii -- "${words[@]}"; then
            say 'not ok' "$document: bitplan ended badly"
            continue
        fi
        if diff -r "$tmp/one$ascii/$document/dump" "$tmp/another folder$ascii/$document/dump" \
            >"$tmp/diff"; then
            say ok "$document$ascii: the same frames twice"
        else
            say 'not ok' "$document$ascii: the same frames twice"
            head -n 40 "$tmp/diff" | sed 's/^/# /'
        fi
        for word in "${kept[@]}"; do
            cp "$(printf '%s/dump/%04d.txt' "$tmp/one$ascii/$document" "${word% *}")" \
                "$tmp/frames/${word#* }${ascii/#--/-}.txt"
        done
    done
}

# --- what is kept ---

llama=$project/sessions/llama-2-7b.safetensors

frames llama "$llama" \
    @allocation v @allocation-error v v @allocation-share v @allocation-price v \
    c @curve i @matrix g Down l Space @grid u \
    m '":card 8GiB"' Enter '":set context 65536"' Enter @memory \
    a / '"layers.11.mlp.down"' Enter p @allocation-pinned i @matrix-pinned \
    '":bits 2.6"' Enter b Enter '":bits 3.1"' Enter b C-u '"bookmark three and a bit"' Enter \
    '":tie qkv"' Enter '":floor down_proj=3"' Enter '":weight o_proj=2"' Enter B Down @plans \
    C a @allocation-comparison Esc \
    Home @budget-least=80x24 End @budget-most '"2.75"' @budget-number=80x24 Enter \
    '"?"' @help PageDown @help-more=80x24 PageDown q \
    '":"' '"b"' Tab @command-completions=80x24 '"i"' Tab '"2.9"' @command-line=80x24 Enter \
    '":pin nothing=nf4:*:*:*:*"' Enter @error=80x24 \
    '":bits 1.5"' Enter @infeasible u \
    q @leave=80x24 x @least='59x17 60x16 60x17 20x3'

if command -v python3 >/dev/null; then
    cp "$llama" "$tmp/partial.safetensors"
    python3 "$project/tests/cli/st_tool.py" set "$tmp/partial.safetensors" error 90..223,: nan
    python3 "$project/tests/cli/st_tool.py" set "$tmp/partial.safetensors" error 5,: nan
    frames partial "$tmp/partial.safetensors" @partial / '"layers.31.mlp.down"' Enter i \
        @partial-matrix
else
    say ok 'a partial table # skip no python3'
    skipped='^partial'
fi

# --- against the files ---

if [ "${GOLDEN_UPDATE-}" = 1 ]; then
    rm -f "$golden"/*.txt
    mkdir -p "$golden"
    cp "$tmp/frames"/*.txt "$golden"
fi
for frame in "$tmp/frames"/*.txt; do
    name=$(basename "$frame" .txt)
    if diff -u "$golden/$name.txt" "$frame" >"$tmp/diff" 2>&1; then
        say ok "$name"
    else
        say 'not ok' "$name"
        head -n 40 "$tmp/diff" | sed 's/^/# /'
    fi
done
beyond=$(LC_ALL=C grep -l '[^ -~]' "$tmp/frames"/*-ascii.txt | xargs -rn1 basename)
check_none 'ASCII frames are ASCII' "$beyond"
left=$(for file in "$golden"/*.txt; do
    [ -e "$tmp/frames/$(basename "$file")" ] || basename "$file"
done | grep -v "$skipped")
check_none 'every file is a frame' "$left"
echo "1..$n"
exit "$failed"
