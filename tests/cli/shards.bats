#!/usr/bin/env bats
# Many processes: shards by hand, under mpirun, as tasks of a Slurm array; one killed and run again;
# part files merged. All end in the bytes of one process. docs/clusters.md says the same in words.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq and of awk

load helpers

long=$BATS_FILE_TMPDIR/long
whole=$BATS_FILE_TMPDIR/whole.safetensors # its table by one process
parts=$BATS_FILE_TMPDIR/parts             # and by four, a file each: 1, 2, 3, 4
work=(--rank 2 --iterations 1 --grid b0=2,3,4:b1=2,4:b2=bf16:B0=16,64:B1=16,64 --progress none)

setup_file() {
    make_model "$long" --layers 2 --hidden 128
    "$BITPLAN" measure "$long" -o "$whole" "${work[@]}" >/dev/null
    mkdir "$parts"
    for i in 1 2 3 4; do
        "$BITPLAN" measure "$long" -o "$parts/$i" "${work[@]}" --shard "$i/4" >/dev/null
    done
}

measure() { # OPTION...
    "$BITPLAN" measure "$long" -o t.safetensors "${work[@]}" "$@"
}

# mpirun in a container: as root, without a network, with fewer processors than ranks.
need_mpirun() {
    command -v mpirun >/dev/null || skip "no mpirun"
    mpirun --version | grep -q 'Open MPI' || skip "mpirun is not Open MPI's"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
    export OMPI_MCA_plm_rsh_agent=false OMPI_MCA_oob_tcp_if_include=lo
}

# slurm_task ID ARG...: docs/slurm-array.sh as task ID of the array 1-4.
slurm_task() {
    SLURM_ARRAY_TASK_ID=$1 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_STEP=1 \
        SLURM_ARRAY_TASK_COUNT=4 SLURM_CPUS_PER_TASK=1 "$project/docs/slurm-array.sh" "${@:2}"
}

# --- one file ---

@test "mpirun -n 4 into one file: equal to one process, and each rank says its part" {
    need_mpirun
    mpirun -n 4 "$BITPLAN" measure "$long" -o t.safetensors "${work[@]}" >out 2>err 3>&-
    cmp t.safetensors "$whole"
    for i in 1 2 3 4; do
        grep -qx "bitplan: part $i of 4, by OMPI_COMM_WORLD_RANK=$((i - 1))" err
    done
    [[ $(grep -c 'of this shard' out) -eq 4 ]]
    holds . t.safetensors out err
}

@test "four shards at once, one killed with -9 and run again: equal to one process" {
    local i pids=()
    for i in 2 3 4; do
        measure --shard "$i/4" --threads 1 >"$i.out" 2>&1 3>&- &
        pids+=($!)
    done
    measure --shard 1/4 --threads 1 >1.out 2>&1 3>&- &
    # In the middle: when there is a table with something in it.
    until [[ -e t.safetensors ]] && works info t.safetensors --json && json '.cells_measured > 0'; do
        kill -0 $! || break
    done
    kill -9 $! || true
    wait $! || true
    for i in "${pids[@]}"; do
        wait "$i"
    done
    measure --shard 1/4 >/dev/null
    cmp t.safetensors "$whole"
    holds . t.safetensors {1,2,3,4}.out
}

@test "ranks of MPICH and of a Slurm step are parts, too" {
    PMI_RANK=0 PMI_SIZE=2 measure 2>err
    grep -qx 'bitplan: part 1 of 2, by PMI_RANK=0' err
    SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 measure --shard auto 2>err
    grep -qx 'bitplan: part 2 of 2, by SLURM_PROCID=1' err
    cmp t.safetensors "$whole"
}

@test "--shard overrides the variables, and --shard 1/1 turns them off" {
    cp "$whole" t.safetensors
    OMPI_COMM_WORLD_RANK=9 OMPI_COMM_WORLD_SIZE=2 attempt measure --shard 1/1 --json
    [[ $status -eq 0 && -z $stderr ]] || show_last
    json '.matrices == 14'
    OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 attempt measure --shard 2/3 --json
    [[ $status -eq 0 && -z $stderr ]] || show_last
    json '.matrices < 7'
}

@test "what cannot be is refused in one line: no variables, bad ones, --force by many" {
    refuses 2 "there are no variables" measure "$long" -o t --shard auto
    OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=2 \
        refuses 2 "OMPI_COMM_WORLD_RANK: '2'" measure "$long" -o t
    SLURM_ARRAY_TASK_ID=2 refuses 2 "SLURM_ARRAY_TASK_MIN is not set" measure "$long" -o t
    SLURM_CPUS_PER_TASK=x refuses 2 "SLURM_CPUS_PER_TASK: 'x'" measure "$long" -o t
    PMI_RANK=0 PMI_SIZE=2 refuses 2 "--force by 2 processes" measure "$long" -o t --force
    holds .
}

# --- a file each ---

@test "docs/slurm-array.sh as four tasks, one of them twice, then merge" {
    local i
    for i in 3 1 4 2 4; do
        slurm_task "$i" "$long" table.safetensors "${work[@]}" >"$i.out" 2>"$i.err"
        grep -qx "bitplan: part $i of 4, by SLURM_ARRAY_TASK_ID=$i" "$i.err"
    done
    grep -q ' 0 cells now' 4.out
    works merge table.safetensors.part-* -o table.safetensors
    says "table.safetensors: 14 of 14 matrices, 336 of 336 cells, from 4 parts (synthetic model)"
    cmp table.safetensors "$whole"
    for i in 1 2 3 4; do
        cmp "table.safetensors.part-$i" "$parts/$i"
    done
    attempt slurm_task 1 "$long"
    [[ $status -eq 2 && $stderr == usage:* ]] || show_last
}

@test "merge: any order, the merged table again, --json" {
    works merge "$parts"/{4,2,1,3} -o a
    cmp a "$whole"
    works merge "$parts/3" a "$parts/3" -o b --json
    json '.parts == 3 and .matrices_done == 14 and .matrices == 14 and .cells == 336 and
        .cells_measured == 336 and .cells_repeated > 0 and .matrices_missing == [] and .synthetic'
    cmp b "$whole"
    holds . a b
}

@test "merge: holes are named, and measure fills them" {
    works merge "$parts"/{1,2,3} -o t.safetensors
    says " of 14 matrices, " "not whole yet: "
    works merge "$parts"/{1,2,3} -o t.safetensors --json --force
    json '.matrices_done + (.matrices_missing | length) == 14 and .cells_measured < .cells'
    local missing
    missing=$("$BITPLAN" merge "$parts"/{1,2,3} -o u --json | jq '.matrices_missing | length')
    works measure "$long" -o t.safetensors "${work[@]}" --json
    json ".cells_measured_now == $missing * 24"
    cmp t.safetensors "$whole"
}

@test "merge: inputs are never replaced, other files with --force alone" {
    cp "$parts/1" p
    ln p same
    refuses 1 "is what is read here" merge "$parts/2" p -o p --force
    refuses 1 "is what is read here" merge p "$parts/2" -o same --force
    cmp p "$parts/1"
    echo mine >t
    refuses 1 "exists already and was kept" merge "$parts"/* -o t
    [[ $(<t) == mine ]]
    works merge "$parts"/* -o t --force
    cmp t "$whole"
    refuses 2 "usage: bitplan merge PART..." merge
    refuses 2 "merge needs -o" merge p
    holds . p same t
}

@test "merge: other work, other numbers, no table" {
    need_python
    "$BITPLAN" measure "$long" -o other "${work[@]}" --seed 1 --shard 4/4 >/dev/null
    refuses 1 "other: is of other work than $parts/1: its seed is 1, there 0" \
        merge "$parts/1" other -o t
    cp "$whole" bent
    st_tool set bent error 13,23 0.5
    refuses 1 "bent: matrix model.layers.1.mlp.down_proj.weight, candidate nf4:" \
        merge "$whole" bent -o t
    says_stderr "the error is 0.5, and "
    head -c 5000 "$whole" >cut
    refuses 4 "cut: " merge "$parts/1" cut -o t
    refuses 4 "nowhere" merge "$parts/1" nowhere -o t
    holds . other bent cut
}

# --- docs/clusters.md ---

@test "the commands of docs/clusters.md" {
    bitplan() { "$BITPLAN" "$@" --iterations 1 --grid "$two"; }
    merge() { "$BITPLAN" merge "$@"; }
    grep -E '^ *bitplan (measure|merge) ' "$project/docs/clusters.md" >commands
    [[ $(grep -c 'measure' commands) -eq 2 && $(grep -c 'merge' commands) -eq 2 ]]
    ln -s "$long" MODEL
    sed -i 's/--rank 64/--rank 2/; s/^ *bitplan merge/merge/; s/^\(merge table.safetensors.part-.*\)$/: \1/' \
        commands
    # shellcheck source=/dev/null
    . ./commands >/dev/null
    works info table.safetensors --json
    json '.cells_measured == .cells'
}
