#!/usr/bin/env bats
# bitplan solve: plans within budgets, their figures, budgets that are too small.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

wide=$BATS_FILE_TMPDIR/wide.safetensors # 7 matrices x 72 candidates
wide_grid=b0=2,3,4:b1=2,4,8:b2=bf16,fp32:B0=32,64:B1=64,256

setup_file() {
    make_table
    "$BITPLAN" measure "$model" -o "$wide" --grid "$wide_grid" --rank 4 --iterations 2 \
        --progress none >/dev/null
}

# --- what a plan is ---

@test "several budgets: a list of optimal plans, each within its budget" {
    works solve "$wide" --bits 2.5,2.75,3,3.5 --json
    json 'length == 4 and ([.[].budget.asked] == [2.5, 2.75, 3, 3.5])'
    json 'all(.certificate.status == "optimal" and .certificate.gap < 1e-12
        and .certificate.lower_bound <= .totals.error)'
    json 'all(.totals.storage_bits <= .budget.bits
        and .budget.bits == (.budget.asked * .totals.params | floor))'
    json '[.[].totals.error] | . == (sort | reverse)'
}

@test "sums over the matrices are the totals" {
    works solve "$wide" --bits 2.25,2.75,3.3 --json
    json 'all((.matrices | map(.storage_bits) | add) == .totals.storage_bits)'
    json 'all((.matrices | map(.shape[0] * .shape[1]) | add) == .totals.params)'
    json 'all(.totals.params == .model.params)'
    json 'all((.matrices | map(.error) | add) == .totals.error)'
    json 'all(.totals.storage_bits / .totals.params == .totals.bits_per_param)'
    json 'all((.totals.storage_bits + 16 * (.matrices
        | map(([.rank, .shape[0], .shape[1]] | min) * (.shape[0] + .shape[1])) | add))
        / .totals.params == .totals.effective_bits_per_param)'
}

@test "the memory ledger adds up" {
    works solve "$wide" --bits 2.75 --json
    json '.totals.storage_bits as $bits | (.matrices | length) as $n | .memory
        | .codes_and_scales_bytes == ($bits / 8 | ceil) and .offsets_bytes == 4 * $n
        and .low_rank_bits == 16 and .low_rank_bytes > 0
        and .total_bytes == .codes_and_scales_bytes + .offsets_bytes + .low_rank_bytes + .outside_bytes'
}

@test "the optimum is that of trying all plans" {
    need_python
    local bits
    for bits in 2.1 2.25 2.3333 2.5 2.7 2.9 3.0 3.1; do
        works solve "$table" --bits "$bits" --json
        json --argjson best "$(st_tool best "$table" "$(jq .budget.bits <<<"$output")")" \
            '(.totals.error / $best - 1) | fabs < 1e-12'
    done
}

@test "no uniform plan is better, and the baseline is the best of them" {
    need_python
    local bits
    for bits in 2.1 2.25 2.5 2.75 3 3.5 4; do
        works solve "$wide" --bits "$bits" --json
        json --argjson best "$(st_tool uniform "$wide" "$(jq .budget.bits <<<"$output")")" \
            '.baselines[0].name == "best uniform" and .baselines[0].error == $best
            and .totals.error <= $best'
        json '.baselines[0].bits_per_param * .totals.params <= .budget.bits'
    done
}

@test "a matrix of the plan holds config, label, rank and its share of the error" {
    works solve "$table" --bits 2.5 --json
    json '.matrices | all(.label == "nf\(.config.b0):u\(.config.b1):\(.config.b2):\(.config.B0):\(.config.B1)")'
    json '.matrices | all(.rank == 4 and .relative_error > 0 and .relative_error < 1)'
    json '.matrices[0].name == "model.layers.0.self_attn.q_proj.weight" and .matrices[0].shape == [64, 64]'
    json '.format == "bitplan.plan" and .version == 1 and .constraints == []'
    json '.table.rank == 4 and .table.cells == 14 and .table.cells_measured == 14 and .model.synthetic'
}

@test "NF4 and NF3 stand beside the plan" {
    works solve "$table" --bits 2.5 --json
    json '[.baselines[] | select(.rank == 0) | .label] == ["nf4:u8:fp32:64:256", "nf3:u8:fp32:64:256"]'
    json '.baselines | all(.error > 0 and .bits_per_param > 2)'
}

@test "the same input gives the same bytes, in a file and on stdout" {
    works solve "$wide" --bits 2.5,3 -o one.json
    works solve "$wide" --bits 2.5,3 -o two.json
    cmp one.json two.json
    "$BITPLAN" solve "$wide" --bits 2.5,3 --json >three.json
    cmp one.json three.json
}

@test "the plan for people: layers, totals, proof, comparison, synthetic" {
    works solve "$table" --bits 2.5
    says "(synthetic)" "7 matrices x 2 candidates" q_proj down_proj "asked       2.5 bits/param" \
        "optimal (proved)" "best uniform" nf4 nf3 memory
}

@test "the real model: optimal, within budget, verified against the weights" {
    need_shared data/story-656K
    "$BITPLAN" measure "$BP_SHARED/data/story-656K" -o t.safetensors --grid "$wide_grid" --rank 4 \
        --iterations 1 --progress none >/dev/null
    works solve t.safetensors --bits 2.5,2.75,3,3.5 -o plans.json --json
    json 'length == 4 and all((.matrices | length) == 14 and .certificate.status == "optimal"
        and .totals.storage_bits <= .budget.bits and .totals.error < .baselines[0].error
        and (.model.synthetic | not))'
    works verify plans.json --model "$BP_SHARED/data/story-656K"
}

# --- budgets ---

@test "a budget in bytes is that budget in bits" {
    works solve "$table" --size 20480 --json
    json '.budget == {asked: 20480, unit: "bytes", bits: 163840}'
    local bytes
    bytes=$(jq -c .matrices <<<"$output")
    works solve "$table" --size 20KiB --json
    [[ $(jq -c .matrices <<<"$output") == "$bytes" ]]
    works solve "$table" --bits 2.5 --json
    [[ $(jq -c .matrices <<<"$output") == "$bytes" ]]
    works solve "$table" --size 2.2GiB --json
    json '.budget.asked == 2362232012'
    works solve "$table" --size 2200MB,20.48kB,20480B --json
    json '[.[].budget.asked] == [2200000000, 20480, 20480]'
}

@test "--bits and --size together are several budgets" {
    works solve "$table" --bits 2.5 --size 20KiB --bits 3 --json
    json '[.[].budget.unit] | sort == ["bits/param", "bits/param", "bytes"]'
}

@test "a budget beyond the largest plan is that plan" {
    works solve "$table" --bits 64 --json
    json '.totals.bits_per_param < 3.1 and (.matrices | all(.config.b0 == 3))'
}

@test "a budget too small: status 3, and the least that it names is enough when typed" {
    refuses 3 "below the least possible" solve "$wide" --bits 2
    local least bytes
    least=$(sed -nE 's/.*possible: ([0-9.]+) bits\/param.*/\1/p' <<<"$stderr")
    bytes=$(sed -nE 's/.*bits\/param, ([0-9,]+) bytes.*/\1/p' <<<"$stderr")
    works solve "$wide" --bits "$least" --json
    json '.certificate.status == "optimal"'
    refuses 3 "below the least" solve "$wide" --bits "$(jq -n "$least - 0.000002")"
    bytes=${bytes//,/}
    works solve "$wide" --size "$bytes" --json
    refuses 3 "$((bytes - 1)) bytes" solve "$wide" --size $((bytes - 1))
}

@test "one budget of several too small: nothing is printed or written" {
    refuses 3 "below the least" solve "$table" --bits 2.5,1,3 --json -o list.json
    holds .
}

# --- grids and solvers ---

@test "--grid narrows the choice, and the plan says so" {
    works solve "$wide" --bits 3.5 --grid b0=3:b2=bf16 --json
    json '.matrices | all(.config.b0 == 3 and .config.b2 == "bf16")'
    json '.constraints == [{option: "--grid", value: "b0=3:b2=bf16"}]'
    works solve "$wide" --bits 3.5 --json
    json '[.matrices[].config.b0] | unique | length > 1'
}

@test "a grid without a candidate of the table: status 3" {
    refuses 3 "none of its 72 candidates is in the grid 'b0=8'" solve "$wide" --bits 3 --grid b0=8
    refuses 3 "none of its 2 candidates" solve "$table" --bits 3 --grid nf4
    refuses 2 "grid" solve "$table" --bits 3 --grid b0=9
}

@test "GLPK agrees" {
    local bits
    for bits in 2.1 2.5 2.75 3.2; do
        "$BITPLAN" solve "$wide" --bits "$bits" --json >mckp.json
        works solve "$wide" --bits "$bits" --json --solver glpk
        json --slurpfile mckp mckp.json '.certificate.method == "glpk"
            and ((.totals.error / $mckp[0].totals.error - 1) | fabs) < 1e-9
            and .totals.storage_bits <= .budget.bits'
    done
    refuses 3 "below the least possible" solve "$wide" --bits 2 --solver glpk
}

# --- holes ---

@test "a matrix without a measured candidate is named: status 4" {
    need_python
    cp "$table" t.safetensors
    st_tool set t.safetensors error 3,: nan
    refuses 4 "1 of 7 matrices are not measured yet (first model.layers.0.self_attn.o_proj.weight)" \
        solve t.safetensors --bits 2.5
    st_tool set t.safetensors error 1,: nan
    refuses 4 "2 of 7 matrices are not measured yet (first model.layers.0.self_attn.k_proj.weight)" \
        sweep t.safetensors
}

@test "a cell that is not measured takes no part, and the plan warns" {
    need_python
    cp "$table" t.safetensors
    st_tool set t.safetensors error 6,1 nan
    works solve t.safetensors --bits 64 -o p.json --json
    json '.matrices[6].config.b0 == 2 and (.matrices[:6] | all(.config.b0 == 3))'
    json '.warnings[0] == {matrix: "model.layers.0.mlp.down_proj.weight", rule: "unmeasured",
        text: "1 of 2 candidates are not measured and took no part"}'
    json '.table.cells_measured == 13'
    works verify p.json
    works solve t.safetensors --bits 64
    says "warning: model.layers.0.mlp.down_proj.weight: 1 of 2 candidates"
}

@test "a part of a table is refused, --partial is offered, and the plan says what it is" {
    need_python
    cp "$table" t.safetensors
    st_tool set t.safetensors error 3,: nan
    refuses 4 "or plan the measured part with --partial" solve t.safetensors --bits 2.5
    works solve t.safetensors --bits 2.5 --partial --json
    json '(.matrices | length) == 6 and .warnings[0].rule == "partial" and .warnings[0].matrix == ""'
    json '.warnings[0].text | startswith("6 of the table'"'"'s 7 matrices are planned, 93.8 % of")'
    json '.table.cells == 12 and .table.cells_measured == 12 and .totals.params == 61440'
    printf '%s' "$output" >p.json
    works verify p.json
    jq '.warnings = []' p.json >bad.json
    refuses 1 "warnings is wrong" verify bad.json
    works solve t.safetensors --bits 2.5 --partial
    says "warning: 6 of the table's 7 matrices are planned"
    attempt "$BITPLAN" sweep t.safetensors --from 2.5 --to 2.5 --partial
    [ "$status" = 0 ] && [ "$stderr" = "bitplan: warning: 6 of the table's 7 matrices are planned, 93.8 % of its parameters" ]
    # A whole table is no part.
    works solve "$table" --bits 2.5 --partial
    cmp <(echo "$output") <("$BITPLAN" solve "$table" --bits 2.5)
    st_tool set t.safetensors error 0..6,: nan
    refuses 4 "nothing is measured yet" solve t.safetensors --bits 2.5 --partial
    attempt "$BITPLAN" solve t.safetensors --bits 2.5
    [[ $stderr != *--partial* ]] || show_last
}

# --- what a plan is warned of ---

@test "what lost more than 0.15 of its norm is warned of, and the cure can be pasted" {
    works solve "$table" --bits 2.5 --json
    json '([.matrices[] | select(.relative_error > 0.15).name] | length) as $n | $n > 0 and
        [.warnings[] | select(.rule == "relative_error").matrix] ==
        [.matrices[] | select(.relative_error > 0.15).name]'
    cure=$(jq -r '.warnings[0].text | split(": ")[-1]' <<<"$output")
    [[ $cure == "--floor '^model\."*"=3'" ]] || show_last
    name=$(jq -r '.warnings[0].matrix' <<<"$output")
    eval "works solve \"\$table\" --bits 2.75 --json $cure"
    json --arg name "$name" '[.warnings[].matrix] | index($name) == null'
    works solve "$table" --bits 3.1
    [[ $output != *warning* ]] || show_last
}

@test "a table of errors, storage, matrices and candidates alone is planned" {
    need_python
    cp "$table" t.safetensors
    edit_header t.safetensors '.x = .norm | .y = .baseline_error | .z = .iterations
        | del(.norm, .baseline_error, .iterations)
        | .__metadata__ |= {matrices: (.matrices | fromjson | map({name, shape}) | tojson), candidates}'
    works solve t.safetensors --bits 2.5 -o p.json --json
    json '.totals.relative_error == null and .model.params_outside == null
        and .memory.total_bytes == null and .certificate.status == "optimal"'
    works verify p.json
    works solve t.safetensors --bits 2.5
    works sweep t.safetensors
}

@test "candidates with a label instead of a config are planned" {
    need_python
    cp "$table" t.safetensors
    edit_header t.safetensors '.__metadata__.candidates = "[{\"label\": \"Q2_K\"}, {\"label\": \"Q4_K\"}]"'
    works solve t.safetensors --bits 2.5 -o p.json --json
    json '.matrices | all(.config == null and (.label == "Q2_K" or .label == "Q4_K"))'
    works verify p.json
    refuses 3 "none of its 2 candidates" solve t.safetensors --bits 2.5 --grid paper
}

# --- outputs ---

@test "an output that exists is kept unless --force" {
    echo mine >p.json
    refuses 1 "p.json: exists already and was kept" solve "$table" --bits 2.5 --json -o p.json
    [[ $(cat p.json) == mine ]]
    works solve "$table" --bits 2.5 -o p.json --force
    jq -e '.format == "bitplan.plan"' p.json
    holds . p.json
}

@test "the table itself is no place for the plan, not even with --force" {
    cp "$table" t.safetensors
    refuses 1 "t.safetensors: is what is read" solve t.safetensors --bits 3 --json -o t.safetensors --force
    refuses 1 "t.safetensors: is what is read" sweep t.safetensors -o ./t.safetensors --force
    cmp t.safetensors "$table"
}

@test "outputs that cannot be: no folder, a folder, a limit on sizes" {
    refuses 1 "nowhere/p.json: cannot be written" solve "$table" --bits 3 --json -o nowhere/p.json
    mkdir out
    refuses 1 "out: " solve "$table" --bits 3 --json -o out --force
    refuses 2 "out/: not a file name" solve "$table" --bits 3 --json -o out/
    holds out
    attempt bash -c 'ulimit -f 1; "$@"' bash "$BITPLAN" solve "$wide" --bits 3 --json -o p.json
    is_refusal 1 "p.json: cannot be written"
    holds . out
}

@test "a locked folder: one line, nothing left" {
    in_locked_folder "$BITPLAN" solve "$table" --bits 3 --json -o locked/p.json
    is_refusal 1 "locked/p.json: cannot be written"
}

@test "a full disk keeps what is there, also with --force" {
    need_mounts
    attempt on_small_disk 8k sh -c 'echo mine >disk/p.json; "$@"; status=$?
        cp disk/p.json kept; exit $status' \
        sh "$BITPLAN" solve "$wide" --bits 2.5,3,3.5 --json -o disk/p.json --force
    is_refusal 1 "disk/p.json: cannot be written: No space left"
    [[ $(cat kept) == mine && $(cat disk.list) == disk/p.json ]]
}

@test "tables that cannot be read: status 4" {
    refuses 4 "nowhere" solve nowhere --bits 3
    refuses 4 "is a folder" solve "$model" --bits 3
    refuses 4 "no \"matrices\"" solve "$model/model.safetensors" --bits 3
    "$BITPLAN" solve "$table" --bits 3 -o p.json >/dev/null
    refuses 4 "p.json" solve p.json --bits 3
}

# --- constraints ---

@test "pins, bans, floors and ceilings hold, stand in the plan, and verify repeats them" {
    works solve "$wide" --bits 3 --pin 'q_proj=nf4:*:*:64:*' --ban 'mlp=*:u2:*:*:*' \
        --floor 'v_proj=3.5' --ceil 'down_proj=2.5' -o plan.json
    jq -e '[.constraints[] | .option] == ["--pin", "--ban", "--floor", "--ceil"]' plan.json
    jq -e '.certificate.status == "optimal"' plan.json
    jq -e '[.matrices[] | select(.name | test("q_proj"))] | length > 0 and
           all(.config.b0 == 4 and .config.B0 == 64)' plan.json
    jq -e '[.matrices[] | select(.name | test("mlp"))] | length > 0 and all(.config.b1 != 2)' plan.json
    jq -e 'all(.matrices[]; (.storage_bits / (.shape[0] * .shape[1])) as $bits |
           ((.name | test("v_proj") | not) or $bits >= 3.5) and
           ((.name | test("down_proj") | not) or $bits <= 2.5))' plan.json
    works verify plan.json
    works solve "$wide" --bits 3 --json
    jq -e --slurpfile free <(printf '%s' "$output") '.totals.error >= $free[0].totals.error' plan.json
}

@test "constraints that contradict each other: status 3, the matrix and the constraints named" {
    refuses 3 "k_proj.weight under --floor 'k_proj=3', --ceil 'self_attn=2.5'" \
        solve "$wide" --bits 3 --floor k_proj=3 --ceil self_attn=2.5
    refuses 3 "below the least possible" solve "$wide" --bits 2.5 --floor .=3
}

@test "constraints that cannot be meant: status 2" {
    refuses 2 "matches no matrix" solve "$wide" --bits 3 --pin 'q_prj=nf4:*:*:*:*'
    refuses 2 "no candidate" solve "$wide" --bits 3 --ban 'q_proj=nf8:*:*:*:*'
    refuses 2 "RE=CONFIG" solve "$wide" --bits 3 --pin q_proj
    refuses 2 "no number of bits/param" sweep "$wide" --floor q_proj=many
}

@test "ties: one candidate a group, and verify finds a plan that breaks one" {
    works solve "$wide" --bits 2.8 --tie qkv,gate_up -o plan.json
    jq -e '[.constraints[] | .option + " " + .value] == ["--tie qkv,gate_up"]' plan.json
    jq -e '.certificate.status == "optimal" and (.totals | has("objective") | not)' plan.json
    jq -e '[.matrices[] | select(.name | test("(q|k|v)_proj")) | .label] | length == 3 and (unique | length) == 1' plan.json
    jq -e '[.matrices[] | select(.name | test("(gate|up)_proj")) | .label] | length == 2 and (unique | length) == 1' plan.json
    works verify plan.json
    works solve "$wide" --bits 2.8 --json
    jq -e --slurpfile free <(printf '%s' "$output") '.totals.error >= $free[0].totals.error' plan.json
    jq --argjson constraints "$(jq .constraints plan.json)" '.constraints = $constraints' <<<"$output" >broken.json
    attempt "$BITPLAN" verify broken.json
    [[ $status -eq 1 && $stderr == *"constraints tie "*" to "* ]] || show_last
    works solve "$wide" --bits 2.8 --tie 'all=.' --json
    json '([.matrices[].label] | unique | length) == 1
        and .matrices[0].label == .baselines[0].label and .totals.error == .baselines[0].error'
    works sweep "$wide" --tie layer --json
}

@test "weights: errors that count more get more bits, and the objective is stated" {
    works solve "$wide" --bits 2.5 --json
    local plain=$output
    works solve "$wide" --bits 2.5 --weight 'o_proj=1000' -o plan.json --json
    json '.totals.error as $error | .totals.objective as $objective | .matrices
        | (map(.error) | add) == $error
        and ((map(.error * if (.name | test("o_proj")) then 1000 else 1 end) | add) / $objective - 1 | fabs) < 1e-12'
    json '.certificate | .status == "optimal" and .gap < 1e-12'
    json --argjson plain "$plain" '(.matrices[3].error <= $plain.matrices[3].error)
        and .totals.error >= $plain.totals.error and .certificate.lower_bound <= .totals.objective'
    works verify plan.json
    works solve "$wide" --bits 2.5 --weight 'o_proj=1000'
    says "objective" "factors of --weight, optimal (proved)"
    works sweep "$wide" --weight 'o_proj=1000' --from 2.5 --to 3
    [[ $(head -1 <<<"$output") == *,synthetic,shadow_price,knee,objective ]] || show_last
    jq '.totals.objective = .totals.error' plan.json >broken.json
    refuses 1 totals.objective verify broken.json
}

@test "plans without ties, weights and totals have no members for them" {
    works solve "$wide" --bits 2.5 --json
    json '(.totals | keys) == ["bits_per_param", "effective_bits_per_param", "error", "params",
        "relative_error", "storage_bits"] and (.budget | keys) == ["asked", "bits", "unit"]'
}

@test "ties and weights that cannot be meant, or leave nothing" {
    refuses 2 "experts ties nothing" solve "$wide" --bits 3 --tie qkv,experts
    refuses 2 "'qvk' is no group" sweep "$wide" --tie qvk
    refuses 2 "no factor above 0" solve "$wide" --bits 3 --weight q_proj=0
    refuses 3 "3 tied matrices from model.layers.0.self_attn.q_proj.weight" \
        solve "$wide" --bits 3 --tie qkv --pin 'q_proj=nf3:*:*:*:*' --ban 'v_proj=nf3:*:*:*:*'
}

@test "--total: everything in memory fits, to the byte, and verify repeats it" {
    works solve "$wide" --total 166kB -o plan.json --json
    json '.budget.unit == "total bytes" and .budget.asked == 166000 and .certificate.status == "optimal"
        and [.budget.context, .budget.batch, .budget.kv_bits] == [0, 1, 16]'
    json '.memory.total_bytes <= 166000 and .totals.storage_bits <= .budget.bits
        and .budget.bits == 8 * (166000 - .memory.offsets_bytes - .memory.low_rank_bytes - .memory.outside_bytes)'
    works verify plan.json
    local bits
    bits=$(jq .budget.bits plan.json)
    works solve "$wide" --total 166kB --context 8 --batch 2 -o with_cache.json
    says "bytes for everything in memory, KV cache of 2 x 8 tokens at 16 bits"
    # k_proj and v_proj of the one layer leave 64 elements each of every token.
    jq -e --argjson bits "$bits" '.budget.bits == $bits - 8 * (2 * 8 * (64 + 64) * 2)' with_cache.json
    works verify with_cache.json
    jq '.budget.context = 9' with_cache.json >broken.json
    refuses 1 budget verify broken.json
    refuses 2 "give --total" solve "$wide" --bits 3 --context 8
    refuses 2 "batch" solve "$wide" --total 166kB --batch many
}

@test "--total too small: status 3, and what it takes is enough when typed" {
    refuses 3 "do not hold what runs beside" solve "$wide" --total 1kB
    works solve "$wide" --total 166kB --json
    local rest least
    rest=$(jq '.budget | .asked - .bits / 8' <<<"$output")
    refuses 3 "below the least possible" solve "$wide" --total "$((rest + 10))"
    least=$(sed -nE 's/.*takes ([0-9]+) total bytes.*/\1/p' <<<"$stderr")
    works solve "$wide" --total "$least"
    refuses 3 "below the least possible" solve "$wide" --total "$((least - 1))"
}

@test "--total where ranks differ: low-rank parts count, to the byte, and verify repeats it" {
    local precision least
    "$BITPLAN" measure "$model" -o ranks.safetensors --grid "$two" --rank 0,4,8 --iterations 2 \
        --progress none >/dev/null
    for precision in 8 16 32; do
        works solve ranks.safetensors --total 163kB --low-rank-bits $precision -o plan.json -f --json
        json '.table.rank == null and .certificate.status == "optimal" and .memory.total_bytes <= 163000
            and .budget.bits == 8 * (163000 - .memory.outside_bytes - 4 * (.matrices | length))
            and .budget.spent_bits == .totals.storage_bits + 8 * .memory.low_rank_bytes
            and .budget.spent_bits <= .budget.bits'
        json --argjson precision $precision '.memory.low_rank_bits == $precision'
        works verify plan.json
    done
    works solve ranks.safetensors --total 163kB
    says "bits for the matrices with their low-rank parts" "bytes for everything in memory"
    works solve ranks.safetensors --bits 2.9 --total 163kB --json
    json '(.[0].budget | has("spent_bits") | not) and (.[1].budget | has("spent_bits"))'
    works solve ranks.safetensors --total 163kB --grid rank=4 --limit q_proj=1060B --json
    # 1060 bytes of storage: the limit does not count the low-rank part.
    json '(.matrices | all(.rank == 4)) and .memory.total_bytes <= 163000'
    refuses 3 "with their low-rank parts" solve ranks.safetensors --total 145kB
    least=$(sed -nE 's/.*takes ([0-9]+) total bytes.*/\1/p' <<<"$stderr")
    works solve ranks.safetensors --total "$least"
    refuses 3 "below the least possible" solve ranks.safetensors --total "$((least - 1))"
}

@test "--low-rank-bits: effective bits, memory and sweep count NF8 by Eq. 3, the plan is the same" {
    local nf8='def nf8: (. / 64 | ceil) as $b | 8 * . + 8 * $b + 32 * ($b / 256 | ceil);
        ([.matrices[] | .rank as $r | (.shape[0] * $r | nf8) + ($r * .shape[1] | nf8)] | add) as $bits |'
    works solve "$wide" --bits 3 --json
    local standard=$output
    works solve "$wide" --bits 3 --low-rank-bits 8 -o plan.json --json
    json --argjson standard "$standard" '.matrices == $standard.matrices and .budget == $standard.budget'
    json "$nf8"'.totals.effective_bits_per_param == (.totals.storage_bits + $bits) / .totals.params
        and .memory.low_rank_bytes == $bits / 8 + 8 * (.matrices | length) and .memory.low_rank_bits == 8'
    works verify plan.json
    works sweep "$wide" --from 3 --to 3 --low-rank-bits 8 --json
    jq -e --slurpfile plan plan.json \
        '.[0].effective_bits_per_param == $plan[0].totals.effective_bits_per_param' <<<"$output"
    works plan.json
    says "effective" "at 8 bits"
    jq 'del(.memory.low_rank_bits)' <<<"$standard" >old.json
    works verify old.json
    refuses 2 "neither 8 (NF8) nor 16 nor 32" solve "$wide" --bits 3 --low-rank-bits 4
}

@test "errors too far apart for a solver's numbers: a plan no worse than uniform, and no abort" {
    local name solver
    for name in error-range-beyond-fixed-point error-sentinel-1e30; do
        cp "$project/tests/fuzz/corpus/table/$name" far.safetensors
        for solver in mckp glpk; do
            works solve far.safetensors --bits 3 --solver $solver --json
            json '.totals.error <= .baselines[0].error and .baselines[0].name == "best uniform" and
                  (.certificate.status == "bounded" or .certificate.gap < 1e-5)'
        done
    done
}

# --- stability ---

@test "--stability says how far the plan holds, and the plan stays the same" {
    works solve "$table" --bits 2.5
    local plan=$output
    works solve "$table" --bits 2.5 --stability 5
    [[ $output == "$plan"$'\n'"stability   20 plans with 5 % noise on every error"* ]] || show_last
    says "never change their config" "in the median" "coin flips"
    works solve "$table" --bits 2.5 --stability 5 -o p.json --json
    cmp <(jq 'del(.stability)' p.json) <("$BITPLAN" solve "$table" --bits 2.5 --json | jq .)
    json '.stability | .runs == 20 and .noise_percent == 5 and (.matrices | length) == 7
        and .regret_median <= .regret_max and .loss_median <= .loss_max
        and ([.matrices[] | select(.changed == 0)] | length) == (.share_steady * 7 | round)
        and ([.matrices[] | select(.changed >= 8)] | length) == .coin_flips'
    works verify p.json
    works solve "$table" --bits 2.5,3 --stability 5 --json
    json 'length == 2 and all(has("stability")) and .[0].stability != .[1].stability'
    json --slurpfile one p.json '.[0] == $one[0]'
    works solve "$table" --bits 2.5 --stability 5% --json
    json --slurpfile one p.json '. == $one[0]'
    jq '.totals.stability = .stability' p.json >bad.json
    refuses 1 "plans have no such figure" verify bad.json
    local bad
    for bad in 0 -1 x '' 101 5%%; do
        refuses 2 "--stability" solve "$table" --bits 2.5 --stability "$bad"
    done
}
