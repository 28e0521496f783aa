#!/usr/bin/env bats
# Every command with its n-th allocation, write, fsync, rename or open failing, n = 1, 2, 3, ... up to
# the run that makes no n-th call: the process ends by itself with one sentence that names the
# failure, or with the right result; files are the old ones or the new ones, whole; nothing else is
# left behind.
#
#   FAULTS_SHIM     shim.so, built from shim.c, which is then loaded into $BITPLAN; or a program that
#                   has shim.c linked in, which is then tried instead (for the sanitizers)
#   FAULTS_EVERY=1  every n (minutes); without it up to 128, then in steps that grow by a third
# shellcheck disable=SC2154,SC2034 # variables of helpers.bash, and its view of ours

load ../cli/helpers

: "${FAULTS_SHIM:=}" "${FAULTS_EVERY:=}"
export BATS_TEST_TIMEOUT=900    # a process that hangs
export OPENBLAS_NUM_THREADS=1   # starts in half the time
other=$BATS_FILE_TMPDIR/other   # a model of the same shapes
others_table=$BATS_FILE_TMPDIR/other.safetensors
half=$BATS_FILE_TMPDIR/half.safetensors # the table after the first of two shards
measuring=(--grid "$two" --rank 4 --iterations 2 --progress none --threads 1)

setup_file() {
    [[ -e $FAULTS_SHIM ]] || return 0
    make_model "$model"
    make_model "$other" --seed 1
    "$BITPLAN" measure "$model" -o "$table" "${measuring[@]}" >/dev/null
    "$BITPLAN" measure "$other" -o "$others_table" "${measuring[@]}" >/dev/null
    "$BITPLAN" measure "$model" -o "$half" "${measuring[@]}" --shard 1/2 >/dev/null
    "$BITPLAN" solve "$table" --bits 2.75 -o "$plan" >/dev/null
}

setup() {
    [[ $FAULTS_SHIM ]] || skip "no FAULTS_SHIM"
    [[ -e $FAULTS_SHIM ]] || skip "no $FAULTS_SHIM"
    if [[ $FAULTS_SHIM == *.so ]] && grep -q -e __asan_init -e __tsan_init "$BITPLAN"; then
        skip "a sanitizer's allocator cannot be replaced: link shim.c into the program"
    fi
    shopt -s nullglob dotglob
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work" || return
    spoken=$BATS_TEST_TMPDIR/stdout complained=$BATS_TEST_TMPDIR/stderr
    FAULTS_SEEN=$BATS_TEST_TMPDIR/seen
}

# --- the walk ---

peak=", peak memory * [KMG]iB"

sentence_alloc="out of memory"
sentence_write="No space left on device"
sentence_short=$sentence_write
sentence_sync="Input/output error"
sentence_rename=$sentence_sync
sentence_read=$sentence_sync
sentence_open="Permission denied"
sentence_thread="nothing: threads are done without"

wrong() { # TEXT
    printf '%s, %s call number %s failing (and %s in all; 0 = all later ones): %s\n' \
        "$1" "$kind" "$n" "$FAULTS_TIMES" "$last"
    printf 'status %s, calls seen %s\n--- stdout\n%.2000s\n--- stderr\n%.2000s\n' \
        "$status" "$seen" "$output" "$stderr"
    ls -la
    return 1
}

# slurp VARIABLE FILE, without a process. The peak of memory, which no two runs share, is left out.
slurp() {
    local text
    IFS= read -r -d '' text <"$2" || true
    [[ ! $text =~ ', peak memory '[0-9.]+' '[KMG]iB ]] || text=${text/"${BASH_REMATCH[0]}"/}
    printf -v "$1" %s "$text"
}

# program ARG...: the program with the shim in it.
program() {
    if [[ $FAULTS_SHIM == *.so ]]; then
        LD_PRELOAD=$FAULTS_SHIM "$BITPLAN" "$@"
    else
        "$FAULTS_SHIM" "$@"
    fi
}

# inject ARG...: the program with call n of the kind failing.
inject() {
    last="bitplan $*" status=0 seen=
    rm -f "$FAULTS_SEEN"
    FAULTS_KIND=$kind FAULTS_AT=$n FAULTS_TIMES=$FAULTS_TIMES FAULTS_SEEN=$FAULTS_SEEN \
        program "$@" >"$spoken" 2>"$complained" || status=$?
    slurp output "$spoken"
    output=${output/$peak/} # differs from run to run
    slurp stderr "$complained"
    [[ -e $FAULTS_SEEN ]] || wrong "the process did not end by itself"
    read -r seen <"$FAULTS_SEEN"
}

# The end of the run: 0 with all that belongs on stdout, or a failure that says what failed.
ended_well() {
    local sentence=sentence_$kind
    if [[ $status -eq 0 ]]; then
        [[ -z $stderr ]] || wrong "a success that complains"
        [[ $output == "$undisturbed" ]] || wrong "a success with another output"
        return
    fi
    [[ $seen -ge $n ]] || wrong "a failure without a fault"
    [[ $status -eq 1 || ($kind == read && $status -eq 4) ]] || wrong "not status 1"
    [[ $stderr == "bitplan: "*$'\n' && ${stderr%$'\n'} != *$'\n'* ]] || wrong "not one line"
    [[ $stderr == *"${!sentence}"* ]] || wrong "the line does not say '${!sentence}'"
    [[ -z $output || $output == "$undisturbed" ]] || wrong "half an output"
}

# begin: the folder as it is before a run.
begin() {
    local left=(*)
    [[ ${#left[@]} -eq 0 ]] || rm -rf -- "${left[@]}"
    [[ -z $starts_with ]] || cp -r ../start/. .
}

# walk KIND ARG...: bitplan ARG... with each call of the kind failing in turn; once alone, and, for
# fewer of them, once with all that come later.
walk() {
    local kind=$1 n FAULTS_TIMES
    shift
    for FAULTS_TIMES in 1 0; do
        for ((n = 1; ; n += n < (FAULTS_TIMES ? 128 : 16) || FAULTS_EVERY ? 1 : n / 3)); do
            begin
            inject "$@"
            ended_well
            left_well
            [[ $seen -ge $n ]] || break
        done
        [[ $seen -gt 0 ]] || wrong "no such call is ever made"
    done
}

# each KIND... -- ARG...: the walks of one command. What lies in ../start is there before each run.
each() {
    trap - DEBUG # bats keeps the line of every command, which takes as long as the runs themselves
    local kind kinds=()
    for (( ; $# > 0; )); do
        [[ $1 != -- ]] || break
        kinds+=("$1")
        shift
    done
    shift
    mkdir -p ../start
    starts_with=$(ls -A ../start)
    begin
    "$BITPLAN" "$@" >"$spoken"
    slurp undisturbed "$spoken"
    undisturbed=${undisturbed/$peak/}
    rm -rf ../good
    cp -r . ../good
    again=() makes=$(ls -A ../good)
    local argument
    for argument; do
        [[ $argument == --force ]] || again+=("$argument")
    done
    for kind in "${kinds[@]}"; do
        walk "$kind" "$@"
    done
}

# --- what is left behind ---

# After a success the files of the undisturbed run; after a failure each file is the old one or the
# undisturbed run's, and there is no other. The table ./t may be anything that can be completed.
left_well() {
    local name left=(*)
    if [[ -e out/.bitplan-unfinished ]]; then
        can_be_gone_on_with
        return
    fi
    [[ $status -eq 0 || -n $starts_with || ${#left[@]} -gt 0 ]] || return 0
    [[ $status -ne 0 || -n $makes || ${#left[@]} -gt 0 ]] || return 0
    diff -rq . ../good >../diff && return
    [[ $status -ne 0 ]] || wrong "other files than without a fault: $(<../diff)"
    for name in * */*; do
        [[ -d $name && -d ../start/$name ]] && continue
        [[ $name == t ]] || cmp -s "$name" "../good/$name" || cmp -s "$name" "../start/$name" ||
            wrong "$name is neither the old one nor the new one"
    done
    for name in ../start/* ../start/*/*; do
        [[ -e ${name#../start/} ]] || wrong "${name#../start/} is gone"
    done
    [[ ! -e t ]] || can_be_completed
}

# Work that was begun: nothing has its name that is not whole, and the same command ends in the
# undisturbed bytes.
can_be_gone_on_with() {
    local name
    [[ $status -ne 0 ]] || wrong "a success that is not finished"
    for name in out/[^.]* out/*/[^.]*; do
        [[ -d $name ]] || cmp -s "$name" "../good/$name" || wrong "$name is not whole"
    done
    FAULTS_KIND=sync program "${again[@]}" >../ignored || wrong "work that cannot be gone on with"
    diff -rq . ../good >../diff || wrong "gone on with, other files: $(<../diff)"
}

# t is the old one, or opens and is completed to the undisturbed bytes by the same command. A table
# that was found good before is not measured again.
can_be_completed() {
    cmp -s t ../start/t && return
    [[ -e ../found_good ]] && cmp -s t ../found_good && return
    cp t ../found_good
    "$BITPLAN" info t >../ignored || wrong "a table that does not open"
    FAULTS_KIND=sync program "${again[@]}" >../ignored || # fails nothing, waits for no disk
        wrong "a table that cannot be continued"
    cmp t ../good/t || wrong "a table that is completed to other bytes"
}

# --- sample, measure ---

@test "sample" {
    each alloc write short sync rename open -- sample m --layers 1 --hidden 64 --progress none
}

@test "sample --force over another model" {
    mkdir ../start
    cp -r "$other" ../start/m
    each alloc write sync rename open -- \
        sample m --layers 1 --hidden 64 --progress none --force
}

@test "measure, a new table" {
    each alloc write short sync rename open read -- measure "$model" -o t "${measuring[@]}"
}

@test "measure with Fisher weights and filters" {
    need_python
    st_tool like "$model/model.safetensors" ../fisher.safetensors
    each alloc read -- measure "$model" -o t "${measuring[@]}" --fisher ../fisher.safetensors \
        --exclude q_proj
}

@test "measure, a table that is half there" {
    mkdir ../start
    cp "$half" ../start/t
    each alloc write short sync open read -- measure "$model" -o t "${measuring[@]}"
}

@test "measure --force over a table of other work" {
    mkdir ../start
    cp "$others_table" ../start/t
    each alloc write sync rename open -- measure "$model" -o t "${measuring[@]}" --force
}

@test "merge" {
    "$BITPLAN" measure "$model" -o "$PWD/../rest" "${measuring[@]}" --shard 2/2 >/dev/null
    each alloc write sync -- merge "$half" ../rest -o merged
    mkdir -p ../start
    cp "$others_table" ../start/merged
    each rename open -- merge "$half" ../rest -o merged --force
}

@test "a thread that does not start is done without" {
    each thread -- measure "$model" -o t "${measuring[@]}" --threads 3
    each thread -- verify "$plan" --model "$model" --remeasure --threads 3
}

# --- decompose, unpack ---

@test "decompose" {
    [[ $FAULTS_SHIM == *.so ]] || skip "what is left behind is the same; its memory is the next test's"
    each write sync rename open read -- decompose "$plan" "$model" -o out --progress none \
        --threads 1
}

@test "decompose out of memory" {
    each alloc -- decompose "$plan" "$model" -o out --emit packed --progress none \
        --threads 1
}

@test "unpack" {
    "$BITPLAN" decompose "$plan" "$model" -o ../out --emit packed --progress none --threads 1 >/dev/null
    each alloc rename -- unpack ../out -o out --progress none --threads 1
}

# --- plans ---

@test "solve -o" {
    each alloc write short sync rename open read -- solve "$table" --bits 2.75 -o p.json
}

@test "solve -o over a plan, with --force" {
    mkdir ../start
    cp "$plan" ../start/p.json
    each alloc write short sync rename open -- solve "$table" --bits 2.3 -o p.json --force
}

@test "solve, several budgets as JSON" {
    each alloc read -- solve "$table" --bits 2.3,2.75 --json
}

@test "solve and verify with constraints" {
    local constraints=(--pin 'q_proj=nf3:*:*:*:*' --ban 'k_proj=nf2:*:*:*:*' --floor mlp=2 --ceil v_proj=3)
    each alloc -- solve "$table" --bits 2.75 "${constraints[@]}" --json
    "$BITPLAN" solve "$table" --bits 2.75 "${constraints[@]}" -o "$PWD/../constrained.json"
    each alloc -- verify ../constrained.json
}

@test "solve by GLPK" {
    each alloc -- solve "$table" --bits 2.75 --solver glpk
}

@test "sweep -o" {
    each alloc write short sync rename open -- sweep "$table" -o s.csv
}

@test "sweep as a picture" {
    each alloc -- sweep "$table" --points 9 --svg
}

@test "solve --stability" {
    each alloc -- solve "$table" --bits 2.75 --stability 5 --json
}

@test "sweep as JSON" {
    each alloc -- sweep "$table" --json
}

# --- reading ---

@test "verify" {
    each alloc read -- verify "$plan"
}

@test "verify against the model, measured again" {
    each alloc read -- verify "$plan" --model "$model" --remeasure --threads 1
}

@test "info of a model, a table, a plan" {
    local file
    for file in "$model" "$table" "$plan"; do
        each alloc read -- info "$file"
        each alloc -- info "$file" --json
    done
}

# --- memory of the libraries ---

# within LIBRARY ARG...
within() {
    [[ $FAULTS_SHIM == *.so ]] || skip "needs the shim as a library"
    ldd "$BITPLAN" | grep -q "$1" || skip "$1 is not a shared library here"
    export FAULTS_LIBRARY=$1
    each alloc -- "${@:2}"
}

@test "cJSON out of memory: solve" {
    within libcjson solve "$table" --bits 2.75 -o p.json
}

@test "cJSON out of memory: measure" {
    within libcjson measure "$model" -o t "${measuring[@]}"
}

@test "cJSON out of memory: verify" {
    within libcjson verify "$plan"
}

@test "cJSON out of memory: info" {
    within libcjson info "$plan"
    within libcjson info "$model" --json
}

@test "GLPK out of memory" {
    within libglpk solve "$table" --bits 2.75 --solver glpk
}

# --- file systems that lack something ---

@test "no rename that keeps: a hard link, then a check and a rename" {
    local kind=rename n=1 FAULTS_TIMES
    each open -- solve "$table" --bits 2.75 -o p.json # the good one
    for FAULTS_TIMES in 1 2; do
        export FAULTS_ERRNO=38 # ENOSYS
        begin
        inject solve "$table" --bits 2.75 -o p.json
        ended_well
        [[ $status -eq 0 && $seen -eq $((FAULTS_TIMES + 1)) ]]
        left_well
        begin
        echo mine >p.json
        inject solve "$table" --bits 2.75 -o p.json
        [[ $status -eq 1 && $stderr == *"exists already and was kept"* && $(<p.json) == mine ]]
    done
}
