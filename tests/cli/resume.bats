#!/usr/bin/env bats
# bitplan measure, interrupted: kills, Ctrl-C, shards and threads end in the same bytes, and a table
# of other work is left as it is.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

long=$BATS_FILE_TMPDIR/long               # a model that takes some seconds
whole=$BATS_FILE_TMPDIR/whole.safetensors # its table, measured undisturbed
seconds=$BATS_FILE_TMPDIR/seconds         # how long that took
long_options=(--grid paper --rank 2 --iterations 1)

setup_file() {
    make_table
    "$BITPLAN" sample "$long" --layers 2 --hidden 128 --progress none >/dev/null
    local start=${EPOCHREALTIME/[^0-9]/}
    "$BITPLAN" measure "$long" -o "$whole" "${long_options[@]}" >/dev/null
    echo $((${EPOCHREALTIME/[^0-9]/} - start)) >"$seconds" # in millionths
}

measure_long() { # OPTION...
    "$BITPLAN" measure "$long" -o t.safetensors "${long_options[@]}" --progress none "$@"
}

# --- the same bytes ---

@test "kill -9 at random instants, each followed by a rerun: equal to the undisturbed file" {
    local i us pid
    RANDOM=${BP_TEST_SEED:-$(($(date +%s) % 32768))}
    for i in 1 2 3 4 5 6; do
        # From before the first byte is written to about a third of the whole.
        us=$(($(<"$seconds") * (RANDOM % 350) / 1000))
        measure_long >/dev/null 3>&- &
        pid=$!
        sleep "$(printf '%d.%06d' $((us / 1000000)) $((us % 1000000)))"
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" || true
        [[ ! -e t.safetensors ]] || works info t.safetensors --json
        echo "kill $i after $us us: $(jq -c .cells_measured <<<"${output:-{\}}")"
    done
    measure_long >/dev/null
    cmp t.safetensors "$whole"
    holds . t.safetensors
}

@test "a run that was killed while it created the file leaves no litter behind" {
    : >".t.safetensors.bitplan-$(uname -n)-99999999-0.tmp"
    : >".t.safetensors.bitplan-$(uname -n)-$$-0.tmp" # of a process that lives
    "$BITPLAN" measure "$model" -o t.safetensors "${quick[@]}" >/dev/null
    holds . t.safetensors ".t.safetensors.bitplan-$(uname -n)-$$-0.tmp"
}

@test "1, 2 and 4 threads: the same file" {
    local n
    for n in 1 2 4; do
        "$BITPLAN" measure "$model" -o "$n" --grid paper --rank 4 --iterations 2 --threads "$n" >/dev/null
    done
    cmp 1 2
    cmp 1 4
}

@test "three shards at once into one file: equal to one run" {
    local i pids=()
    for i in 1 2 3; do
        measure_long --shard "$i/3" --threads 1 >"$i.out" 2>"$i.err" 3>&- &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || tail ./*.err
    done
    cmp t.safetensors "$whole"
    grep -q "of this shard" 1.out
    holds . t.safetensors {1,2,3}.{out,err}
}

@test "shards one after the other, and more shards than matrices" {
    local i
    for i in 9 2 4 6 8 1 3 5 7; do
        "$BITPLAN" measure "$model" -o t.safetensors "${quick[@]}" --shard "$i/9" >/dev/null
    done
    cmp t.safetensors "$table"
}

@test "a hole in a finished table is measured again, and nothing else" {
    need_python
    cp "$table" t.safetensors
    st_tool set t.safetensors error 2,1 nan
    st_tool set t.safetensors error 5,: nan
    works measure "$model" -o t.safetensors "${quick[@]}" --json
    json '.cells_measured_now == 4 and .cells_measured_before == 10'
    cmp t.safetensors "$table"
}

@test "a finished table is not written to" {
    cp "$table" t.safetensors
    touch -d 2001-01-01 t.safetensors
    works measure "$model" -o t.safetensors "${quick[@]}"
    says "0 cells now, 14 before"
    cmp t.safetensors "$table"
    [[ $(date -r t.safetensors +%Y) == 2001 ]]
}

# --- Ctrl-C ---

@test "SIGINT and SIGTERM stop with status 1 and one line, and the same command goes on" {
    local signal line pid
    mkfifo progress
    for signal in INT TERM; do
        # The first line of progress comes when the first matrix is in work.
        "$BITPLAN" measure "$long" -o t.safetensors "${long_options[@]}" --progress json \
            >out 2>progress 3>&- &
        pid=$!
        exec 4<progress
        read -r line <&4
        jq -e '.done < .total' <<<"$line"
        kill "-$signal" "$pid"
        grep -v '^{' <&4 >err || true
        exec 4<&-
        status=0
        wait "$pid" || status=$?
        [[ $status -eq 1 && ! -s out && $(wc -l <err) -eq 1 ]]
        grep -q '^bitplan: stopped: .* of 14 matrices are at one step in t.safetensors' err
    done
    measure_long >/dev/null
    cmp t.safetensors "$whole"
}

# --- other work in the same file ---

# keeps TEXT OPTION...: refuses to go on in a copy of the table, says what differs, and the table
# stays as it is.
keeps() {
    local text=$1
    shift
    cp "$table" t.safetensors
    refuses 1 "$text" measure "$@" -o t.safetensors --progress none
    says_stderr "t.safetensors: exists with other work"
    cmp t.safetensors "$table"
}

@test "another model" {
    make_model other --seed 1
    keeps "model fingerprint" other "${quick[@]}"
}

@test "one weight changed" {
    need_python
    cp -r "$model" m
    st_tool set m/model.safetensors model.layers.0.mlp.up_proj.weight 7,7 0.5
    keeps "model fingerprint" m "${quick[@]}"
}

@test "other matrices of the same model" {
    keeps "number of matrices" "$model" "${quick[@]}" --exclude q_proj
    keeps "list of matrices" "$model" "${quick[@]}" --exclude q_proj --include lm_head
}

@test "another grid: more configs, others" {
    keeps "number of candidates" "$model" "${quick[@]}" --grid paper
    keeps "nf4:u4" "$model" "${quick[@]}" --grid b0=2,4:b1=4:b2=fp32:B0=64:B1=256
}

@test "another rank, more ranks" {
    keeps "rank is 4, asked for is 5" "$model" "${quick[@]}" --rank 5
    keeps "number of candidates" "$model" "${quick[@]}" --rank 4,5
}

@test "another seed, other iterations" {
    keeps "seed is 0, asked for is 7" "$model" "${quick[@]}" --seed 7
    keeps "iterations is 3, asked for is 4" "$model" "${quick[@]}" --iterations 4
}

@test "Fisher weights where there were none, and others than before" {
    need_python
    st_tool like "$model/model.safetensors" fisher.safetensors
    keeps "weighting is none, asked for is fisher" "$model" "${quick[@]}" --fisher fisher.safetensors
    "$BITPLAN" measure "$model" -o f.safetensors "${quick[@]}" --fisher fisher.safetensors >/dev/null
    cp f.safetensors before
    refuses 1 "weighting is fisher, asked for is none" measure "$model" -o f.safetensors "${quick[@]}"
    st_tool set fisher.safetensors model.layers.0.mlp.up_proj.weight 0,0 9
    refuses 1 "fingerprint of the weights" measure "$model" -o f.safetensors "${quick[@]}" \
        --fisher fisher.safetensors
    cmp f.safetensors before
}

@test "--force starts anew" {
    make_model other --seed 1
    "$BITPLAN" measure other -o fresh "${quick[@]}" >/dev/null
    cp "$table" t.safetensors
    works measure other -o t.safetensors "${quick[@]}" --force
    says "14 cells now, 0 before"
    cmp t.safetensors fresh
}

@test "a table that is broken is named and kept" {
    head -c 1500 "$table" >t.safetensors
    cp t.safetensors before
    refuses 1 t.safetensors measure "$model" -o t.safetensors "${quick[@]}"
    cmp t.safetensors before
}
