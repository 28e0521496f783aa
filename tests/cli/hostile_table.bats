#!/usr/bin/env bats
# Tables that lie: every command that opens one says what is wrong, in one line, with status 4.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

setup_file() {
    make_table
    "$BITPLAN" solve "$table" --bits 2.5 -o "$plan" >/dev/null
}

setup() {
    need_python
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work" || return
    fresh
}

fresh() {
    cp "$table" t.safetensors
}

# refused TEXT: by solve, and then a fresh table for what follows.
refused() {
    refuses 4 t.safetensors solve t.safetensors --bits 2.5 --json
    says_stderr "$1"
    fresh
}

# The same by every command that opens a table; measure keeps it.
refused_by_all() {
    cp t.safetensors bad
    refuses 4 "$1" sweep bad
    refuses 4 "$1" verify "$plan" --table bad
    refuses 4 "$1" info bad
    refuses 4 "$1" info bad --json
    attempt "$BITPLAN" measure "$model" -o bad "${quick[@]}"
    [[ $status -eq 1 || $status -eq 4 ]] || show_last
    is_refusal "$status" bad
    cmp t.safetensors bad
    refused "$1"
}

# metadata KEY FILTER: changes what the metadata's JSON text under KEY holds.
metadata() {
    edit_header t.safetensors --arg key "$1" ".__metadata__[\$key] |= (fromjson | $2 | tojson)"
}

@test "shapes unlike the metadata" {
    edit_header t.safetensors '.error.shape = [2, 7]'
    refused_by_all '`error`'
    edit_header t.safetensors '.storage.shape = [14]'
    refused '`storage`'
    edit_header t.safetensors '.norm.shape = [7, 1]'
    refused '`norm`'
    edit_header t.safetensors '.norm.shape = []  | .norm.data_offsets[1] = .norm.data_offsets[0] + 8
        | .x = {dtype: "F64", shape: [6], data_offsets: [.norm.data_offsets[1], .baseline_error.data_offsets[0]]}'
    refused '`norm`'
    edit_header t.safetensors '.iterations.shape = [7, 2, 1]'
    refused '`iterations`'
    edit_header t.safetensors '.stage.shape = [2, 7]'
    refused '`stage`'
    metadata matrices 'del(.[6])'
    refused '`stage`'
    metadata candidates '.[0] as $c | . + [$c | .b0 = 8]'
    refused '`stage`'
}

@test "types that are not the table's" {
    edit_header t.safetensors '.error.dtype = "I64"'
    refused_by_all '`error`'
    edit_header t.safetensors '.storage.dtype = "F64"'
    refused '`storage`'
    edit_header t.safetensors '.iterations.dtype = "BF16"'
    refused '`iterations`'
    edit_header t.safetensors '.norm.dtype = "U64"'
    refused '`norm`'
}

@test "tensors that are missing" {
    local name
    for name in error storage; do
        edit_header t.safetensors --arg n "$name" '.other = .[$n] | del(.[$n])'
        refused "no tensor \`$name\`"
    done
}

@test "numbers that no table holds" {
    st_tool set t.safetensors error 3,1 -1
    refused_by_all "o_proj.weight, candidate nf3:u4:fp32:64:256 r4: the error is negative"
    st_tool set t.safetensors error 3,1 inf
    refused "the error is infinite"
    st_tool set t.safetensors error 0,0 -inf
    refused "the error is negative"
    st_tool set t.safetensors storage 2,0 $((1 << 60))
    refused "v_proj.weight, candidate nf2:u4:fp32:64:256 r4: storage is beyond"
    st_tool set t.safetensors storage 2,0 18446744073709551615
    refused "storage is beyond"
    st_tool set t.safetensors norm 1 -1
    refused "k_proj.weight"
    st_tool set t.safetensors norm 1 inf
    refused "k_proj.weight"
    st_tool set t.safetensors baseline_error 1,0 -3
    refused "k_proj.weight"
}

@test "errors that are huge or tiny are numbers" {
    st_tool set t.safetensors error 3,0 1e308
    st_tool set t.safetensors error 4,0 1e308
    attempt "$BITPLAN" solve t.safetensors --bits 2.5 --json
    [[ $status -eq 0 ]] || is_refusal 4 t.safetensors
    fresh
    st_tool set t.safetensors error 3,: 5e-324
    works solve t.safetensors --bits 2.5 -o p.json --json
    works verify p.json
}

@test "names that stand there twice, names that are none" {
    metadata matrices '.[1].name = .[0].name'
    refused_by_all "q_proj.weight stands there twice"
    metadata matrices 'del(.[2].name)'
    refused "matrix 2 has no name"
    metadata matrices '.[2].name = ""'
    refused "matrix 2 has no name"
    metadata matrices '.[2].name = 7'
    refused "matrix 2 has no name"
}

@test "control characters in a name stay out of the terminal" {
    metadata matrices '.[0].name = "evil\u001b[31m\nname"'
    works solve t.safetensors --bits 2.5
    [[ $output != *$'\e'* ]]
    works info t.safetensors
    [[ $output != *$'\e'* ]]
    st_tool set t.safetensors error 0,: nan
    refuses 4 "evil?[31m?name" solve t.safetensors --bits 2.5
}

@test "shapes of matrices that are none" {
    local shape
    for shape in '[64]' '[64, 64, 1]' '[0, 64]' '[-64, 64]' '[6.5, 64]' '[1e12, 1e12]' '"64x64"' null '[64, "64"]'; do
        metadata matrices ".[5].shape = $shape"
        refused "up_proj.weight has no shape"
    done
}

@test "candidates that are none" {
    local change
    for change in 'del(.b0)' '.b0 = 5' '.b1 = 0' '.b2 = "fp8"' '.b2 = 16' '.B0 = 0' '.B1 = 1e9' '.rank = -1' \
        '.rank = "4"' '{}' '3' '{label: ""}' '{label: 3}'; do
        metadata candidates ".[1] |= ($change)"
        refused "candidate 1"
    done
    metadata candidates '[.[0], .[0]]'
    refused_by_all "stands there twice"
    metadata candidates '[{label: "A"}, {label: "A"}]'
    refused "stands there twice"
}

@test "lists that are none" {
    local key text
    for key in matrices candidates; do
        for text in '[]' '{}' '3' 'null' '"list"'; do
            metadata "$key" "$text"
            refused "$key"
        done
    done
}

@test "metadata that is not JSON, or not there" {
    local key
    for key in matrices candidates objective model method; do
        edit_header t.safetensors --arg key "$key" '.__metadata__[$key] = "[{\"name\": "'
        refused "metadata \"$key\""
    done
    edit_header t.safetensors '.__metadata__.matrices = ""'
    refused_by_all "metadata \"matrices\""
    edit_header t.safetensors 'del(.__metadata__.matrices)'
    refused '"matrices"'
}

@test "metadata without candidates, and no metadata" {
    edit_header t.safetensors 'del(.__metadata__.candidates)'
    refused_by_all '"candidates"'
    edit_header t.safetensors 'del(.__metadata__)'
    refuses 4 '"matrices"' solve t.safetensors --bits 3
}

@test "a version that does not exist yet" {
    edit_header t.safetensors '.__metadata__.version = "2"'
    refused_by_all "a table of version 2; this bitplan reads version 1"
}

@test "parts of the wrong kind that a table may lack do not matter, or are refused" {
    local key
    for key in objective model method; do
        metadata "$key" '[]'
        attempt "$BITPLAN" solve t.safetensors --bits 2.5 --json
        [[ $status -eq 0 ]] || is_refusal 4 t.safetensors
        fresh
    done
    metadata model '.params = 1e30 | .bytes_outside = -5 | .synthetic = "yes" | .name = 3'
    attempt "$BITPLAN" solve t.safetensors --bits 2.5 --json
    [[ $status -eq 0 ]] || is_refusal 4 t.safetensors
}

@test "a table that is cut short" {
    local n
    for n in 0 8 100 1800 $(($(stat -c %s "$table") - 1)); do
        head -c "$n" "$table" >t.safetensors
        refused t.safetensors
    done
}

@test "a byte too much" {
    echo >>t.safetensors
    refused_by_all "after the last tensor"
}

@test "any one byte of the header flipped: a clean answer" {
    # No crash, at most one line; the seed is fixed, so a failure is found again.
    local i at size
    RANDOM=7
    size=$(($(od -An -tu8 -N8 "$table") + 8))
    for ((i = 0; i < 60; i++)); do
        fresh
        at=$((RANDOM * 32768 % size))
        at=$(((at + RANDOM) % size))
        printf '%b' "\\x$(printf %02x $((RANDOM % 256)))" |
            dd of=t.safetensors bs=1 seek="$at" conv=notrunc status=none
        attempt "$BITPLAN" solve t.safetensors --bits 2.5 --json
        [[ $status -eq 0 || $status -eq 3 ]] || is_refusal 4 t.safetensors
    done
}

@test "tables that are not aligned are read all the same" {
    # A header whose length is no multiple of 8: the numbers are copied.
    python3 -c 'import struct, sys
blob = open("t.safetensors", "rb").read()
n = struct.unpack("<Q", blob[:8])[0]
open("odd.safetensors", "wb").write(struct.pack("<Q", n + 3) + blob[8 : 8 + n] + b"   " + blob[8 + n :])'
    "$BITPLAN" solve odd.safetensors --bits 2.5 --json | jq 'del(.table.path)' >odd.json
    "$BITPLAN" solve "$table" --bits 2.5 --json | jq 'del(.table.path)' >even.json
    cmp odd.json even.json
}
