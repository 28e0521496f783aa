#!/usr/bin/env bats
# bitplan verify: every figure of a plan is recomputed, and the first wrong one is named.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

list=$BATS_FILE_TMPDIR/list.json

setup_file() {
    make_table
    "$BITPLAN" solve "$table" --bits 2.5 -o "$plan" >/dev/null
    "$BITPLAN" solve "$table" --bits 2.25,2.5,3 --size 20KiB -o "$list" >/dev/null
}

# finds TEXT JQ-ARG...: the plan, changed by jq, is refused with status 1, and TEXT is named.
finds() {
    local text=$1
    shift
    jq "$@" "$plan" >bad.json
    differ_as_json bad.json "$plan"
    refuses 1 "bad.json: $text" verify bad.json
}

# rejects TEXT JQ-ARG...: the same for a document that is no plan: status 4.
rejects() {
    local text=$1
    shift
    jq "$@" "$plan" >bad.json
    refuses 4 "bad.json: $text" verify bad.json
}

differ_as_json() {
    if [[ $(jq -cS . "$1") == "$(jq -cS . "$2")" ]]; then
        echo "jq changed nothing"
        return 1
    fi
}

# --- good plans ---

@test "a plan and a list of plans" {
    works verify "$plan"
    says "1 plan, " "figures recomputed and equal, 1 optimal"
    works verify "$list" --json
    json '.plans == 4 and .optimal == 4 and .matrices == 28 and .figures > 400'
    json '.model_checked == false'
}

@test "spaces, order and names of files do not matter" {
    jq -S . "$plan" >sorted.json
    works verify sorted.json
    cp "$table" moved
    works verify "$plan" --table moved
}

@test "a table beside the plan is found from any folder" {
    mkdir there
    cp "$table" there/t.safetensors
    (cd there && "$BITPLAN" solve t.safetensors --bits 3 -o p.json >/dev/null)
    works verify there/p.json
    cd there
    works verify p.json
}

@test "a plan of GLPK" {
    "$BITPLAN" solve "$table" --bits 2.5 --solver glpk -o p.json >/dev/null
    works verify p.json
    says "1 optimal"
}

@test "a plan that says only what it knows: bounded" {
    jq '.certificate |= (.status = "bounded" | .lower_bound = 0 | .gap = 1)' "$plan" >p.json
    works verify p.json
    says "0 optimal"
}

@test "a plan on a grid" {
    "$BITPLAN" solve "$table" --bits 3.1 --grid b0=3 -o p.json >/dev/null
    works verify p.json
    says "1 optimal"
}

# --- the model ---

@test "the model that was measured" {
    works verify "$plan" --model "$model"
    says "the model agrees"
    works verify "$list" --model "$model/model.safetensors" --json
    json .model_checked
}

@test "another model: the fingerprint" {
    make_model other --seed 3
    refuses 1 "model.fingerprint is wrong" verify "$plan" --model other
    refuses 4 nowhere verify "$plan" --model nowhere
}

@test "--remeasure: the same errors from the weights, and a table that says otherwise is found" {
    need_python
    works verify "$plan" --model "$model" --remeasure
    says "7 cells measured again and equal"
    refuses 2 "--model" verify "$plan" --remeasure
    cp "$table" t.safetensors
    st_tool set t.safetensors error 2,: 1.25
    "$BITPLAN" solve t.safetensors --bits 2.5 -o p.json >/dev/null
    works verify p.json --model "$model"
    refuses 1 "matrices[2].error is wrong: the plan says 1.25" verify p.json --model "$model" --remeasure
}

# --- wrong figures ---

@test "the error, the bits and the config of a matrix" {
    finds 'matrices[3].error is wrong' '.matrices[3].error *= 1.0000001'
    finds 'matrices[0].error is wrong' '.matrices[0].error = 0'
    finds 'matrices[3].storage_bits is wrong' '.matrices[3].storage_bits += 1'
    finds 'matrices[6].relative_error is wrong' '.matrices[6].relative_error = 0'
    finds 'matrices[1].name is wrong' '.matrices[1].name = "q"'
    finds 'matrices[1].shape[0] is wrong' '.matrices[1].shape[0] = 32'
    finds 'matrices[2].label is wrong' '.matrices[2].label = "nf4:u8:fp32:64:256"'
    finds 'matrices[2].config is wrong: it is no candidate' '.matrices[2].config.b0 = 4'
    finds 'matrices[2].config is wrong: it is no candidate' '.matrices[2].rank = 3'
    finds 'matrices is wrong: the plan lists 6' 'del(.matrices[4])'
    finds 'matrices is wrong: the plan lists 8' '.matrices += [.matrices[0]]'
}

@test "the last bit of an error" {
    need_python
    python3 -c 'import json, sys, struct
plan = json.load(open(sys.argv[1]))
bits = struct.unpack("<q", struct.pack("<d", plan["matrices"][5]["error"]))[0]
plan["matrices"][5]["error"] = struct.unpack("<d", struct.pack("<q", bits + 1))[0]
json.dump(plan, open("bad.json", "w"))' "$plan"
    refuses 1 "matrices[5].error is wrong" verify bad.json
}

@test "the totals" {
    local key
    for key in params storage_bits bits_per_param effective_bits_per_param relative_error; do
        finds "totals.$key is wrong" ".totals.$key *= 1.25"
    done
    finds "totals.error is wrong" '.totals.error *= 1.25 | .certificate.gap = (.totals.error - .certificate.lower_bound) / .totals.error'
}

@test "what the plan says of its budget, its table and its model" {
    finds 'budget.bits is wrong' '.budget.bits += 1'
    finds 'the plan takes 159,968 bits, over its budget of 157,286' '.budget.asked = 2.4'
    finds 'table.fingerprint is wrong' '.table.fingerprint = "xxh3:0"'
    finds 'table.rank is wrong' '.table.rank = 64'
    finds 'table.weighting is wrong' '.table.weighting = "fisher"'
    finds 'table.cells_measured is wrong' '.table.cells_measured = 7'
    finds 'model.synthetic is wrong' '.model.synthetic = false'
    finds 'model.params_outside is wrong' '.model.params_outside = null'
}

@test "the baselines" {
    finds 'baselines[0].error is wrong' '.baselines[0].error *= 2'
    finds 'baselines[0].label is wrong' '.baselines[0].label = "nf8:u8:fp32:64:256"'
    finds 'baselines[1].bits_per_param is wrong' '.baselines[1].bits_per_param = 4'
    finds 'baselines' 'del(.baselines[2])'
}

@test "the memory" {
    local key
    for key in codes_and_scales_bytes offsets_bytes low_rank_bytes low_rank_bits outside_bytes total_bytes; do
        finds "memory.$key is wrong" ".memory.$key += 1"
    done
    finds 'memory.total_bytes is wrong' '.memory.total_bytes = null'
}

@test "warnings that are none and constraints that are not the planner's" {
    finds warnings '.warnings = [{matrix: "x", rule: "y", text: "z"}]'
    rejects constraints '.constraints = [{option: "--pin", value: "x=y"}]'
    rejects constraints '.constraints = [{option: "--wish", value: "x"}]'
    finds 'matrices[0].config is wrong: the plan' \
        '.constraints = [{option: "--ceil", value: "q_proj=2.1"}, {option: "--floor", value: "k_proj=2"}] |
         .matrices[0].config.b0 = 3 | .matrices[0].label = "nf3:u4:fp32:64:256"'
}

@test "a figure that is missing or one that nobody knows is named" {
    finds 'totals.error_bits' '.totals.error_bits = 3'
    finds 'surprise' '.surprise = 1'
    finds 'memory' 'del(.memory)'
    finds 'totals.effective_bits_per_param' 'del(.totals.effective_bits_per_param)'
    finds 'matrices[1].relative_error' 'del(.matrices[1].relative_error)'
}

@test "a figure of another type" {
    finds 'totals.bits_per_param is wrong' '.totals.bits_per_param |= tostring'
    finds 'memory.total_bytes is wrong: the plan says an object' '.memory.total_bytes = {}'
    finds 'warnings is wrong' '.warnings = {}'
}

@test "the second plan of a list is named" {
    jq '.[1].matrices[3].error *= 2' "$list" >bad.json
    refuses 1 "bad.json: [1].matrices[3].error is wrong" verify bad.json
    jq '.[3].budget.asked -= 1' "$list" >bad.json
    refuses 1 "bad.json: [3].budget.bits is wrong" verify bad.json
    jq 'del(.[1].budget)' "$list" >bad.json
    refuses 4 "bad.json: [1].budget" verify bad.json
}

# --- the certificate ---

@test "a lower bound above the optimum" {
    finds 'certificate.lower_bound is wrong' '.certificate.lower_bound *= 1.01
        | .certificate.gap = (.totals.error - .certificate.lower_bound) / .totals.error'
    finds 'certificate.gap is wrong' '.certificate.gap = 0.5'
    finds 'certificate.lower_bound is wrong' '.certificate.status = "bounded" | .certificate.lower_bound *= 1.01
        | .certificate.gap = (.totals.error - .certificate.lower_bound) / .totals.error'
}

# A plan that is whole in itself, but made for a smaller budget.
worse_plan() {
    "$BITPLAN" solve "$table" --bits 2.25 --json |
        jq --slurpfile best "$plan" '.budget = $best[0].budget
            | .certificate.lower_bound = $best[0].certificate.lower_bound
            | .certificate.gap = (.totals.error - .certificate.lower_bound) / .totals.error'
}

@test "a plan that says optimal and is not" {
    worse_plan >bad.json
    refuses 1 "bad.json: certificate.status is wrong: the plan says optimal at an error of" verify bad.json
    worse_plan | jq '.certificate.status = "bounded"' >honest.json
    works verify honest.json
    says "0 optimal"
}

@test "two matrices of one shape with each other's configs" {
    # Totals that are right, for a choice that is worse.
    jq '(.matrices | map(select(.shape == [64, 64])) | [map(select(.config.b0 == 3))[0].name,
            map(select(.config.b0 == 2))[0].name]) as [$a, $b]
        | (.matrices[] | select(.name == $a)) as $A | (.matrices[] | select(.name == $b)) as $B
        | .matrices |= map(if .name == $a then . + ($B | {config, label: .label, storage_bits})
            elif .name == $b then . + ($A | {config, label: .label, storage_bits}) else . end)' "$plan" >bad.json
    refuses 1 "bad.json: " verify bad.json
    says_stderr "error is wrong"
}

@test "a plan outside of the grid that it states" {
    finds 'matrices[0].config is wrong' '.constraints = [{option: "--grid", value: "b0=2"}]'
    rejects constraints '.constraints = [{option: "--grid", value: "b0=8"}]'
}

# --- the table ---

@test "another table: status 1; one that is not there or is none: status 4" {
    "$BITPLAN" measure "$model" -o other "${quick[@]}" --seed 1 >/dev/null
    refuses 1 "table.fingerprint is wrong" verify "$plan" --table other
    refuses 4 nowhere verify "$plan" --table nowhere
    refuses 4 model.safetensors verify "$plan" --table "$model/model.safetensors"
    jq '.table.path = "gone.safetensors"' "$plan" >p.json
    refuses 4 "gone.safetensors" verify p.json
    says_stderr "give --table"
    works verify p.json --table "$table"
    jq 'del(.table.path)' "$plan" >p.json
    refuses 4 "give --table" verify p.json
}

@test "a table whose storage is not Equation 3's" {
    need_python
    cp "$table" t.safetensors
    st_tool set t.safetensors storage 0,: 12000
    "$BITPLAN" solve t.safetensors --bits 2.6 -o p.json >/dev/null
    refuses 1 "matrices[0].storage_bits is wrong: the table says 12,000" verify p.json
}

# --- documents that are no plans: status 4 ---

@test "no plan at all" {
    refuses 4 nowhere verify nowhere
    refuses 4 "$table" verify "$table"
    refuses 4 "$model" verify "$model"
    local text
    for text in '' '[]' '{}' '[[]]' '3' 'null' '"plan"' '{"format": "bitplan.table"}' '[{]' '{"a": 1, "a": 2}'; do
        echo "$text" >x.json
        refuses 4 "x.json: " verify x.json
    done
}

@test "parts that are missing or of the wrong kind" {
    rejects 'not a bitplan plan' '.format = "bitplan.session"'
    rejects 'a plan of version 2' '.version = 2'
    rejects '' 'del(.version)'
    rejects budget 'del(.budget)'
    rejects budget '.budget.asked = "much"'
    rejects budget '.budget.asked = -2.5'
    rejects budget '.budget.unit = "apples"'
    rejects budget '.budget.asked = 1e300'
    rejects certificate 'del(.certificate)'
    rejects certificate '.certificate.status = "perfect"'
    rejects certificate '.certificate.lower_bound = null'
    finds matrices '.matrices = {}'
    finds matrices 'del(.matrices)'
    finds 'matrices[0]' '.matrices[0] = 3'
    finds 'matrices[0]' '.matrices[0].config = null'
    finds 'matrices[0]' '.matrices[0].config.b0 = -1'
}

@test "a grid in the plan that is none: status 4, the plan named" {
    rejects constraints '.constraints = [{option: "--grid", value: "b0=9"}]'
}

@test "numbers beyond a double do not pass" {
    sed -E 's/("total_bytes":[^0-9]*)[0-9]+/\11e999/' "$plan" >bad.json
    attempt "$BITPLAN" verify bad.json
    [[ $status -eq 1 || $status -eq 4 ]] || show_last
    is_refusal "$status" bad.json
}
