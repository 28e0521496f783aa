#!/usr/bin/env bats
# bitplan measure: the table it makes, and what it refuses. Stopping and going on is in resume.bats.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

setup_file() {
    make_table
}

q_proj=model.layers.0.self_attn.q_proj.weight
down_proj=model.layers.0.mlp.down_proj.weight

measure() { # OPTION...
    "$BITPLAN" measure "$model" -o t.safetensors "${quick[@]}" "$@" >/dev/null
}

# --- the table ---

@test "the table is read by Python with NumPy alone: shapes, no NaN, Equation 3, metadata" {
    local python
    for python in python3 /usr/bin/python3; do
        "$python" "$here/read_table.py" --available 2>/dev/null || continue
        "$python" "$here/read_table.py" "$table"
        measure --grid paper --rank 3,0 --iterations 1
        "$python" "$here/read_table.py" t.safetensors
        return
    done
    skip "no Python with NumPy"
}

@test "the summary in text and JSON" {
    works measure "$model" -o t.safetensors "${quick[@]}"
    says "t.safetensors: 7 of 7 matrices measured, 14 cells now, 0 before, 14 iterated, peak memory "
    says "iB (synthetic model)"
    works measure "$model" -o t.safetensors "${quick[@]}" --json
    json '.peak_memory_bytes > 1e6 and del(.peak_memory_bytes) == {table: "t.safetensors",
        effort: "balanced", matrices_done: 7, matrices: 7, cells_measured_now: 0,
        cells_measured_before: 14, cells_iterated: 14, cells_estimated: 0, cells_one_step: 0,
        synthetic: true}'
    holds . t.safetensors
}

@test "efforts: what info, solve, verify and the workbench say of their cells" {
    local effort
    for effort in exact full balanced quick; do
        "$BITPLAN" measure "$model" -o "$effort" --grid b0=2,3,4:b2=bf16,fp32:B1=16 --rank 4 \
            --iterations 3 --effort "$effort" --json --progress none >m.json
        jq -e --arg e "$effort" '.effort == $e and .cells_measured_now == 378 and
            .cells_iterated + .cells_estimated + .cells_one_step == 378' m.json
        works info "$effort" --json
        [[ $effort == exact ]] || json '.cells_iterated + .cells_estimated + .cells_one_step == .cells'
        works solve "$effort" --bits 2.6 -o "$effort.json"
        works verify "$effort.json" --model "$model" --remeasure
        says "measured again and equal"
    done
    works info exact --json
    json 'has("cells_iterated") | not'
    works info balanced
    says " iterated, " " estimated, 0 at one step"
    jq -e '.table.cells_estimated > 50 and .table.cells_one_step == 0' balanced.json
    jq -e 'all(.warnings[]; .rule != "not_iterated") and (.table | has("cells_iterated") | not)' exact.json
    jq -e 'all(.warnings[]; .rule != "not_iterated") and .table.cells_iterated == 378' full.json
    jq -e '.warnings[0] | .rule == "not_iterated" and .matrix == "" and (.text | contains(
        "7 of 7 chosen errors are not iterated (7 at one step, 0 estimated)"))' quick.json
    works solve quick --bits 2.6
    says "warning: 7 of 7 chosen errors are not iterated"
    works quick --size 120x36 --script i
    says "100 % at one step" "one-step error"
    works balanced --size 120x36 --script i
    says " % estimated" "iterated error"
    # An estimate is iterated, and one that is far off is found.
    works solve balanced --bits 4.5 --pin '.=nf4:u2:bf16:16:16' -o p.json --json
    json '.warnings[0].text | contains("estimated), which")'
    works verify p.json --model "$model" --remeasure
    says "estimates iterated and off by at most "
    works verify p.json --model "$model" --remeasure --json
    json '.remeasured == 7 and .estimates > 0 and .worst_estimate > 0 and .worst_estimate < 1'
}

@test "memory follows the largest matrix, not the model" {
    # 56 matrices of 4 MiB in FP32 at most, 75 MiB of BF16: a model that stayed in memory would show.
    "$BITPLAN" sample m --shapes llama-2-7b --hidden 512 --layers 8 --progress none >/dev/null
    local effort most
    for effort in quick balanced; do
        works measure m -o "$effort" --grid nf4 --rank 8 --iterations 2 --threads 1 --json \
            --effort "$effort" --progress none
        json '.matrices == 56'
        most=$(jq .peak_memory_bytes <<<"$output")
        works measure m -o "$effort-1" --grid nf4 --rank 8 --iterations 2 --threads 1 --json \
            --effort "$effort" --progress none --exclude 'layers\.[1-7]\.'
        json '.matrices == 7'
        echo "$effort: $most bytes, of one layer $(jq .peak_memory_bytes <<<"$output")"
        # The headers and the table grow with the model, by kilobytes.
        jq -e --argjson most "$most" '$most - .peak_memory_bytes < 8e6' <<<"$output"
    done
}

@test "progress as JSON lines goes to stderr, and stdout stays the document's" {
    attempt "$BITPLAN" measure "$model" -o t.safetensors "${quick[@]}" --progress json --json
    [[ $status -eq 0 ]] || show_last
    json '.matrices_done == 7'
    jq -es 'length >= 2 and all(.unit == "cells" and .total == 14 and .done <= .total)
        and (map(.phase) | unique == ["one step", "refining"] and . == sort)
        and (group_by(.phase) | all((map(.done) | . == sort) and last.done == 14))' <<<"$stderr" ||
        show_last
}

@test "without a terminal a short run says nothing on the way" {
    works measure "$model" -o t.safetensors --grid "$two" --rank 4 --iterations 3
}

@test "on a terminal a bar is drawn and taken away" {
    TERM=xterm script -qec true /dev/null >/dev/null 2>&1 || skip "no pseudo-terminal here"
    TERM=xterm script -qec "'$BITPLAN' measure '$model' -o t.safetensors --grid $two --rank 4" typescript >seen
    grep -qF '14/14 cells' seen
    tail -n 1 seen | grep -q $'\e\[K''t.safetensors: 7 of 7'
}

@test "several ranks are candidates, side by side" {
    measure --rank 0,4,8
    works info t.safetensors --json
    json '.candidates == 6'
    works solve t.safetensors --bits 3 --json
    json '[.matrices[].rank] | unique | all(. == 0 or . == 4 or . == 8)'
}

@test "a rank beyond the matrix is its full rank, not a failure" {
    measure --rank 4096 --iterations 1
    works solve t.safetensors --bits 3 --json
    json '.totals.relative_error < 1e-6'
}

@test "the order of values in a grid does not matter" {
    measure --grid B1=256:b0=3,2:b2=fp32:B0=64:b1=4
    cmp t.safetensors "$table"
}

@test "--seed and --iterations change the errors and are recorded" {
    need_python
    measure --seed 1
    differ t.safetensors "$table"
    works info t.safetensors
    says "at most 3 iterations, seed 1"
}

# --- grids ---

@test "a malformed grid or one without a candidate is a usage error" {
    local grid
    for grid in '' papers b0= b0=5 b0=2,2 b0=2:b0=3 b0 b0=2: b7=2 b2=fp8 B0=0 B1=-1 'b0=2 ' 'b0=2,3,'; do
        refuses 2 grid measure "$model" -o t.safetensors --grid "$grid"
    done
    holds .
}

@test "paper, reference and nf4 are grids" {
    local name
    for name in paper:243 reference:432 nf4:1; do
        "$BITPLAN" measure "$model" -o "$name" --include "$q_proj" --exclude 'mlp|[kvo]_proj' \
            --grid "${name%:*}" --rank 0 >/dev/null
        works info "$name" --json
        json --argjson n "${name#*:}" '.candidates == $n and .matrices == 1'
    done
}

# --- outputs ---

@test "an output that is no table is kept" {
    echo mine >t.safetensors
    refuses 1 "t.safetensors: exists, is not a bitplan table, and was kept" \
        measure "$model" -o t.safetensors "${quick[@]}"
    [[ $(cat t.safetensors) == mine ]]
    cp "$model/model.safetensors" t.safetensors
    refuses 1 "was kept" measure "$model" -o t.safetensors "${quick[@]}"
    cmp t.safetensors "$model/model.safetensors"
    holds . t.safetensors
}

@test "--force replaces what is there" {
    echo mine >t.safetensors
    measure --force
    cmp t.safetensors "$table"
    holds . t.safetensors
}

@test "a folder as the output is kept, also with --force" {
    mkdir out
    refuses 1 out measure "$model" -o out "${quick[@]}"
    refuses 1 out measure "$model" -o out/ "${quick[@]}"
    refuses 1 out measure "$model" -o out "${quick[@]}" --force
    holds out
}

@test "a table beside the model does not change the model" {
    cp -r "$model" m
    works measure m -o m/t.safetensors "${quick[@]}"
    works measure m -o m/t.safetensors "${quick[@]}"
    says "0 cells now"
    diff -r "$model" m -x t.safetensors
}

@test "weights are no place for the table, not even with --force" {
    need_python
    cp -r "$model" m
    ln -s m link
    refuses 1 "m/model.safetensors: is what is read" \
        measure m -o m/model.safetensors "${quick[@]}" --force
    refuses 1 "link/model.safetensors" measure m -o link/model.safetensors "${quick[@]}" --force
    diff -r "$model" m
    st_tool like m/model.safetensors fisher.safetensors
    cp fisher.safetensors copy
    refuses 1 "fisher.safetensors" \
        measure m --fisher fisher.safetensors -o fisher.safetensors "${quick[@]}" --force
    cmp fisher.safetensors copy
}

@test "a folder that is not there" {
    refuses 1 "nowhere/t.safetensors: cannot be written: No such" \
        measure "$model" -o nowhere/t.safetensors "${quick[@]}"
    refuses 1 "cannot be written: Not a directory" \
        measure "$model" -o "$table/t.safetensors" "${quick[@]}"
    holds .
}

@test "a folder that takes no file: one line, nothing left" {
    in_locked_folder "$BITPLAN" measure "$model" -o locked/t.safetensors "${quick[@]}"
    is_refusal 1 "locked/t.safetensors: cannot be written"
}

@test "a full disk: one line, nothing left" {
    need_mounts
    attempt on_small_disk 16k "$BITPLAN" measure "$model" -o disk/t.safetensors \
        --grid paper --rank 0 --progress none
    is_refusal 1 "disk/t.safetensors: cannot be written: No space left"
    [[ ! -s disk.list ]]
}

@test "a limit on file sizes is like a full disk" {
    attempt bash -c 'ulimit -f 16; "$@"' bash "$BITPLAN" measure "$model" -o t.safetensors \
        --grid paper --rank 0 --progress none
    is_refusal 1 "t.safetensors: cannot be written"
    holds .
}

# --- models ---

@test "NaN and infinite weights: the tensor and its first index, no file" {
    need_python
    local value
    for value in nan inf -inf; do
        rm -rf m
        cp -r "$model" m
        st_tool set m/model.safetensors "$down_proj" 5,17 "$value"
        st_tool set m/model.safetensors "$down_proj" 5,18 "$value"
        refuses 4 "$down_proj" measure m -o t.safetensors "${quick[@]}"
        says_stderr "[5, 17]"
        holds . m
        holds m config.json model.safetensors
    done
}

@test "a NaN in an F32 file, in the last element of the last matrix" {
    need_python
    st_tool make x.safetensors "$q_proj=F32:64,64" "$down_proj=F32:64,96"
    st_tool set x.safetensors "$down_proj" 63,95 nan
    refuses 4 "[63, 95]" measure x.safetensors -o t.safetensors "${quick[@]}"
    says_stderr "$down_proj" x.safetensors
    holds . x.safetensors
}

@test "a NaN in a tensor that is kept as it is does not matter" {
    need_python
    cp -r "$model" m
    st_tool set m/model.safetensors lm_head.weight 0,0 nan
    works measure m -o t.safetensors "${quick[@]}"
}

@test "a matrix of zeros: measured, without error" {
    need_python
    st_tool make x.safetensors "$q_proj=F32:64,64=0" "$down_proj=F32:64,96"
    works measure x.safetensors -o t.safetensors "${quick[@]}"
    works solve t.safetensors --bits 2.5 -o p.json --json
    json '.matrices[0].error == 0 and .totals.error > 0'
    works verify p.json
}

@test "nothing but zeros: a plan of error 0" {
    need_python
    st_tool make x.safetensors "$q_proj=F32:64,64=0"
    works measure x.safetensors -o t.safetensors "${quick[@]}"
    works solve t.safetensors --bits 4 -o p.json --json
    json '.totals.error == 0 and .certificate == {status: "optimal", lower_bound: 0, gap: 0, method: "mckp"}'
    works verify p.json
}

@test "1 x 1, one row, one column and a matrix smaller than a block" {
    need_python
    local shape
    for shape in 1,1 1,7 7,1 3,5; do
        st_tool make x.safetensors "$q_proj=F32:$shape"
        works measure x.safetensors -o "$shape" --include q_proj "${quick[@]}"
        works solve "$shape" --bits 64 -o "$shape.json" --json
        json --argjson shape "[$shape]" '.matrices[0].shape == $shape and .totals.error < 1'
        works verify "$shape.json" --model x.safetensors
    done
}

@test "sizes that no block size divides" {
    need_python
    st_tool make x.safetensors "$q_proj=F32:67,131" "$down_proj=BF16:129,65"
    works measure x.safetensors -o t.safetensors --grid paper --rank 4 --iterations 1 --progress none
    works solve t.safetensors --bits 2.75 -o p.json --json
    works verify p.json
}

@test "a model without a matrix to plan" {
    need_python
    st_tool make x.safetensors model.norm.weight=F32:1,64
    refuses 4 "x.safetensors: none of its 1 tensors" measure x.safetensors -o t.safetensors "${quick[@]}"
    refuses 4 "none of its 12 tensors" measure "$model" -o t.safetensors --exclude . "${quick[@]}"
    holds . x.safetensors
}

@test "models that cannot be read" {
    refuses 4 "nowhere" measure nowhere -o t.safetensors
    refuses 4 "table.safetensors: none of its 6 tensors" measure "$table" -o t.safetensors
    head -c 9000 "$model/model.safetensors" >cut.safetensors
    refuses 4 "cut.safetensors" measure cut.safetensors -o t.safetensors
    refuses 2 "--include 'q_porj'" measure "$model" -o t.safetensors --include q_porj
    holds . cut.safetensors
}

# --- Fisher weights ---

@test "Fisher weights change the errors and are recorded" {
    need_python
    st_tool like "$model/model.safetensors" fisher.safetensors
    measure --fisher fisher.safetensors
    works info t.safetensors --json
    json '.weighting == "fisher"'
    works solve t.safetensors --bits 2.5 -o p.json --json
    json '.table.weighting == "fisher"'
    st_tool header t.safetensors >header.json
    jq -e '.__metadata__.objective | fromjson | .source == "fisher.safetensors" and .fingerprint != ""' header.json
    works verify p.json
}

@test "Fisher weights that are all alike scale the error" {
    need_python
    local name specs=()
    for name in q_proj k_proj v_proj o_proj; do
        specs+=("model.layers.0.self_attn.$name.weight=F32:64,64=1")
    done
    for name in gate_proj up_proj; do
        specs+=("model.layers.0.mlp.$name.weight=F32:256,64=1")
    done
    specs+=("$down_proj=F32:64,256=1")
    st_tool make ones.safetensors "${specs[@]}"
    "$BITPLAN" measure "$model" -o one --fisher ones.safetensors --grid "$two" --rank 0 >/dev/null
    "$BITPLAN" measure "$model" -o none --grid "$two" --rank 0 >/dev/null
    "$BITPLAN" solve one --bits 2.5 --json >one.json
    "$BITPLAN" solve none --bits 2.5 --json >none.json
    jq -es '(.[0].totals.error / .[1].totals.error - 1) | fabs < 1e-12' one.json none.json
}

@test "Fisher files that do not fit the model: status 4, the tensor named" {
    need_python
    st_tool like "$model/model.safetensors" good.safetensors

    cp good.safetensors bad.safetensors
    edit_header bad.safetensors --arg n "$down_proj" '.[$n].shape = [256, 64]'
    refuses 4 "$down_proj" measure "$model" -o t.safetensors --fisher bad.safetensors "${quick[@]}"
    says_stderr "another shape" bad.safetensors

    cp good.safetensors bad.safetensors
    edit_header bad.safetensors --arg n "$down_proj" '.else = .[$n] | del(.[$n])'
    refuses 4 "no weights for $down_proj" measure "$model" -o t.safetensors --fisher bad.safetensors "${quick[@]}"

    local value
    for value in -1 nan inf; do
        cp good.safetensors bad.safetensors
        st_tool set bad.safetensors "$down_proj" 3,4 "$value"
        refuses 4 "$down_proj at [3, 4]" measure "$model" -o t.safetensors --fisher bad.safetensors "${quick[@]}"
    done

    refuses 4 nowhere measure "$model" -o t.safetensors --fisher nowhere "${quick[@]}"
    refuses 4 "$model/config.json" measure "$model" -o t.safetensors --fisher "$model/config.json" "${quick[@]}"
    holds . good.safetensors bad.safetensors
}

@test "Fisher weights of zero are accepted" {
    need_python
    st_tool like "$model/model.safetensors" fisher.safetensors
    st_tool set fisher.safetensors "$down_proj" 0,: 0
    st_tool set fisher.safetensors "$q_proj" 5,5 0
    works measure "$model" -o t.safetensors --fisher fisher.safetensors "${quick[@]}"
    works solve t.safetensors --bits 2.5
}
