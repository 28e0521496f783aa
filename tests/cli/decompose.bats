#!/usr/bin/env bats
# bitplan decompose, unpack, verify --output: what is written is what the plan says, in forms that
# other programs read, and survives being killed.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

export OPENBLAS_NUM_THREADS=1 # starts in half the time
done_=$BATS_FILE_TMPDIR/done # the plan carried out, hf and packed
long=$BATS_FILE_TMPDIR/long  # a model that takes a while
long_plan=$BATS_FILE_TMPDIR/long.json

# Outputs are synced matrix by matrix, and no test here cuts the power: with the shim of tests/faults
# at hand nothing waits for the disk.
if [[ ${FAULTS_SHIM:-} == *.so && -e $FAULTS_SHIM ]]; then
    export LD_PRELOAD=$FAULTS_SHIM FAULTS_KIND=sync
elif [[ ${FAULTS_SHIM:-} && -e $FAULTS_SHIM ]]; then
    export BITPLAN=$FAULTS_SHIM FAULTS_KIND=sync
fi

setup_file() {
    make_table
    "$BITPLAN" solve "$table" --bits 2.75 -o "$plan" >/dev/null
    "$BITPLAN" decompose "$plan" "$model" -o "$done_" --emit hf,packed --low-rank-bits 32 \
        --progress none >/dev/null
    make_model "$long" --layers 3 --hidden 128
    "$BITPLAN" measure "$long" -o "$BATS_FILE_TMPDIR/long.st" --rank 8 --iterations 12 \
        --grid b0=4:b1=4:b2=bf16:B0=64:B1=64 --progress none >/dev/null
    "$BITPLAN" solve "$BATS_FILE_TMPDIR/long.st" --bits 5 -o "$long_plan" >/dev/null
}

decompose() { # PLAN MODEL OUT [OPTION...]
    works decompose "$1" "$2" -o "$3" --progress none "${@:4}"
}

# check MODEL PLAN OUT [--logits]: the independent reader.
check() {
    # Under the sanitizers the bytes are the same: equality is tried there, NumPy is not.
    [[ $BITPLAN != */asan/* ]] || return 0
    use_python numpy
    "$python" "$here/check_output.py" "$@" >checked
}

same_tree() {
    diff -r "$1" "$2"
}

broken_copy() {
    rm -rf broken
    cp -r "$done_" broken
}

# finds TEXT: verify refuses ./broken and says TEXT.
finds() {
    refuses 1 "$1" verify "$plan" --model "$model" --output broken
}

# --- the forms ---

@test "a real model: every error is the table's to the bit, logits are those of Q + L1 L2" {
    need_shared data/story-656K
    local story=$BP_SHARED/data/story-656K
    "$BITPLAN" measure "$story" -o t --effort exact --grid b0=2,3:b1=4:b2=bf16,fp32:B0=64:B1=64 --rank 8 \
        --iterations 5 --progress none >/dev/null
    "$BITPLAN" solve t --bits 2.75 -o p.json >/dev/null
    decompose p.json "$story" out --emit hf,packed --low-rank-bits 32
    says "14 errors equal to the bit" "equal "
    works verify p.json --model "$story" --output out
    says "14 matrices rebuilt" "packed storage equal to the bit"
    works unpack out -o back --progress none
    rm -r out/decompose.json
    mv out/packed .
    same_tree out back
    mv packed out
    decompose p.json "$story" out --emit hf,packed --low-rank-bits 32 --force # the report again
    check "$story" p.json out --logits
}

@test "the reader agrees at 8, 16 and 32 bits of the factors" {
    local bits
    check "$model" "$plan" "$done_"
    for bits in 8 16; do
        decompose "$plan" "$model" "out$bits" --emit hf,packed --low-rank-bits "$bits"
        check "$model" "$plan" "out$bits"
        works unpack "out$bits/packed" -o "back$bits" --progress none
        cmp "out$bits/model.safetensors" "back$bits/model.safetensors"
        cmp "out$bits/adapter/adapter_model.safetensors" \
            "back$bits/adapter/adapter_model.safetensors"
    done
}

@test "the factors have the precision that the plan counts" {
    decompose "$plan" "$model" out --json
    json '.low_rank_bits == 16 and .off == 0 and (.matrices | length) == 7 and .forms == ["hf"]'
    json 'all(.matrices[]; .error.hf > 0 and .planned_error > 0)'
    holds out adapter config.json decompose.json model.safetensors
    holds out/adapter adapter_config.json adapter_model.safetensors
    cmp <(printf '%s\n' "$output") out/decompose.json
}

@test "bitsandbytes where it can be, and why not elsewhere" {
    "$BITPLAN" measure "$model" -o t --grid b0=3,4:b1=4:b2=bf16:B0=64:B1=64 --rank 4 \
        --iterations 2 --progress none >/dev/null
    "$BITPLAN" solve t --bits 3.7 -o p.json >/dev/null
    decompose p.json "$model" out --emit hf,packed,bnb
    says "not 4-bit: bitsandbytes has 4-bit NormalFloat codes only"
    works verify p.json --model "$model" --output out
    # --output names what is checked, not where the document goes.
    works verify p.json --model "$model" --output out --json
    [ "$(jq -r .output.matrices <<<"$output")" = 7 ]
    check "$model" p.json out
    refuses 4 "no matrix of the plan can be one" decompose "$plan" "$model" -o no --emit bnb
    absent no
}

@test "shards and their index stay as they are" {
    need_python
    mkdir split
    cp "$model/config.json" split
    python3 - "$model/model.safetensors" split "$here" <<'PY'
import json, sys
sys.path.insert(0, sys.argv[3])
import st_tool
header, data = st_tool.read(sys.argv[1])
meta = header.pop("__metadata__")
names, weight_map = sorted(header), {}
for n, part in enumerate((names[::2], names[1::2])):
    out, blob = {"__metadata__": meta}, bytearray()
    file = "model-%05d-of-00002.safetensors" % (n + 1)
    for name in part:
        begin, end = header[name]["data_offsets"]
        out[name] = dict(header[name], data_offsets=[len(blob), len(blob) + end - begin])
        blob += data[begin:end]
        weight_map[name] = file
    st_tool.write(sys.argv[2] + "/" + file, out, blob)
json.dump({"metadata": {}, "weight_map": weight_map},
          open(sys.argv[2] + "/model.safetensors.index.json", "w"))
PY
    "$BITPLAN" measure split -o t --grid b0=4:b1=4:b2=bf16:B0=64:B1=64 --rank 4 --iterations 2 \
        --progress none >/dev/null
    "$BITPLAN" solve t --bits 5 -o p.json >/dev/null
    decompose p.json split out --emit hf,packed,bnb
    works verify p.json --model split --output out
    works info out
    works unpack out -o back --progress none
    cmp out/model-00002-of-00002.safetensors back/model-00002-of-00002.safetensors
    cmp out/model.safetensors.index.json back/model.safetensors.index.json
    check split p.json out
}

@test "ranks that differ, and rank 0" {
    "$BITPLAN" measure "$model" -o t --grid "$two" --rank 0,4,8 --iterations 2 --progress none >/dev/null
    local rank
    for rank in 0 4 8; do
        "$BITPLAN" solve t --bits 2.75 --grid "rank=$rank" -o "$rank.json" >/dev/null
    done
    jq --slurpfile a 0.json --slurpfile b 4.json \
        '.matrices[0] = $a[0].matrices[0] | .matrices[3] = $b[0].matrices[3]' 8.json >mixed.json
    decompose mixed.json "$model" out --emit hf,packed --low-rank-bits 32
    [ "$(jq -c '[.r, .lora_alpha, (.rank_pattern | length), .rank_pattern == .alpha_pattern]' \
        out/adapter/adapter_config.json)" = '[8,8,1,true]' ]
    check "$model" mixed.json out
    works unpack out -o back --progress none
    cmp out/adapter/adapter_config.json back/adapter/adapter_config.json
    decompose 0.json "$model" plain --emit hf,packed
    absent plain/adapter
    check "$model" 0.json plain
    works verify 0.json --model "$model" --output plain
}

@test "Fisher weights: wanted where the table had them, and only those" {
    need_python
    st_tool like "$model/model.safetensors" f.safetensors
    "$BITPLAN" measure "$model" -o t "${quick[@]}" --effort exact --fisher f.safetensors >/dev/null
    "$BITPLAN" solve t --bits 2.75 -o p.json >/dev/null
    refuses 4 "with --fisher" decompose p.json "$model" -o out
    refuses 4 "no --fisher" decompose "$plan" "$model" -o out --fisher f.safetensors
    absent out
    decompose p.json "$model" out --fisher f.safetensors --low-rank-bits 32 --emit packed
    says "7 errors equal to the bit"
    works verify p.json --model "$model" --output out --fisher f.safetensors
    st_tool set f.safetensors model.layers.0.mlp.up_proj.weight 0,0 7
    refuses 1 "are not the weights" decompose p.json "$model" -o other --fisher f.safetensors
}

@test "every effort is carried out, exact to the bit" {
    local effort
    for effort in exact full balanced quick; do
        "$BITPLAN" measure "$model" -o "$effort" "${quick[@]}" --effort "$effort" >/dev/null
        "$BITPLAN" solve "$effort" --bits 2.75 -o "$effort.json" >/dev/null
        decompose "$effort.json" "$model" "out-$effort" --emit packed --low-rank-bits 32
        [[ $effort != exact ]] || says "7 errors equal to the bit"
        works verify "$effort.json" --model "$model" --output "out-$effort"
    done
    # Of what was iterated, decomposing repeats what measuring did.
    jq -e 'all(.matrices[]; (.error.packed / .planned_error - 1 | fabs) < 1e-5)' \
        out-full/decompose.json
}

@test "an older plan asks its table how its errors were made" {
    cp "$table" t
    "$BITPLAN" solve t --bits 2.75 -o p.json >/dev/null
    jq 'del(.table.method, .table.weighting_fingerprint)' p.json >old.json
    works verify old.json
    decompose old.json "$model" old --emit hf,packed --low-rank-bits 32
    same_tree old "$done_"
    mv t hidden
    refuses 4 "give --table" decompose old.json "$model" -o no
    refuses 4 "$BATS_FILE_TMPDIR/none" decompose old.json "$model" -o no --table "$BATS_FILE_TMPDIR/none"
    refuses 1 "is not the table" decompose old.json "$model" -o no --table "$BATS_FILE_TMPDIR/long.st"
    decompose old.json "$model" again --table hidden --emit hf,packed --low-rank-bits 32
    same_tree again "$done_"
}

@test "GPT-2 holds its weights turned, and its files lack a prefix; stacked experts have no adapter" {
    need_python
    mkdir gpt moe
    echo '{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}' >gpt/config.json
    cp "$model/model.safetensors" gpt
    cp "$model/model.safetensors" moe
    st_tool edit gpt/model.safetensors \
        'with_entries(.key |= sub("model.layers.0.mlp.up_proj"; "h.0.attn.c_attn"))'
    "$BITPLAN" measure gpt -o t "${quick[@]}" >/dev/null
    "$BITPLAN" solve t --bits 3 -o p.json >/dev/null
    decompose p.json gpt out
    works verify p.json --model gpt --output out
    [ "$(jq -c '[.fan_in_fan_out, (.target_modules | index("transformer.h.0.attn.c_attn") != null)]' \
        out/adapter/adapter_config.json)" = '[true,true]' ]
    [ "$(st_tool header out/adapter/adapter_model.safetensors | jq -c \
        '[to_entries[] | select(.key | test("c_attn")) | [.key, .value.shape]] | sort')" = \
        '[["base_model.model.transformer.h.0.attn.c_attn.lora_A.weight",[4,256]],["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight",[64,4]]]' ]
    st_tool edit moe/model.safetensors 'with_entries(
        if .key | test("up_proj") then .key |= sub("up_proj"; "experts.up_proj") |
            .value.shape = [4, 64, 64] else . end)'
    "$BITPLAN" measure moe -o m "${quick[@]}" --rank 0,4 >/dev/null
    "$BITPLAN" solve m --bits 3 --grid rank=4 -o p.json --force >/dev/null
    refuses 4 "expert of a stacked tensor" decompose p.json moe -o no
    absent no
    decompose p.json moe packed --emit packed
    works verify p.json --model moe --output packed
    "$BITPLAN" solve m --bits 3 --grid rank=0 -o p.json --force >/dev/null
    decompose p.json moe base --emit hf,packed
    works verify p.json --model moe --output base
    works unpack base -o back --progress none
    cmp base/model.safetensors back/model.safetensors
}

# --- what is wrong is found ---

@test "a misspelt adapter key, which PEFT would pass over" {
    need_python
    broken_copy
    st_tool edit broken/adapter/adapter_model.safetensors \
        'with_entries(.key |= sub("layers.0.mlp.up_proj.lora_B"; "layers.0.mlp.up_proj.lora_b"))'
    finds "has no tensor base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"
    use_python numpy
    attempt "$python" "$here/check_output.py" "$model" "$plan" broken
    [[ $status -ne 0 && $stderr == *lora_B* ]]
}

@test "a scaling that is not 1" {
    broken_copy
    jq '.lora_alpha *= 2' "$done_/adapter/adapter_config.json" >broken/adapter/adapter_config.json
    finds "rank 4 and alpha 8"
    jq '.use_rslora = true' "$done_/adapter/adapter_config.json" >broken/adapter/adapter_config.json
    finds "rslora"
    jq 'del(.target_modules[2])' "$done_/adapter/adapter_config.json" \
        >broken/adapter/adapter_config.json
    finds "target_modules lacks"
}

@test "weights that were changed: planned ones by their error, others byte for byte" {
    need_python
    broken_copy
    st_tool set broken/model.safetensors model.layers.0.mlp.up_proj.weight 0..9,: 1
    finds "broken: model.layers.0.mlp.up_proj.weight has an error of"
    broken_copy
    st_tool set broken/model.safetensors model.norm.weight 3 1.5
    finds "tensor model.norm.weight differs from the model's"
    broken_copy
    st_tool set broken/packed/packed.safetensors bitplan.nf2 0 -2
    finds "bitplan.nf2"
    broken_copy
    rm -r broken/packed broken/model.safetensors
    refuses 4 "holds no decomposed model" verify "$plan" --model "$model" --output broken
}

@test "an error that is not the plan's: written, named, status 1" {
    jq '.matrices[2].error *= 2' "$plan" >off.json
    attempt "$BITPLAN" decompose off.json "$model" -o out --progress none
    is_refusal 1 "$(jq -r '.matrices[2].name' "$plan")"
    says OFF
    [ "$(jq -c '[.off, .matrices[2].off]' out/decompose.json)" = '[1,true]' ]
}

@test "plans and models that do not go together" {
    make_model other --seed 1
    refuses 1 "is not the model of" decompose "$plan" other -o out
    jq '.matrices[0] |= (.config = null | .label = "Q4_K")' "$plan" >foreign.json
    refuses 4 "Q4_K, a candidate of another quantizer" decompose foreign.json "$model" -o out
    jq -s . "$plan" >list.json
    refuses 4 "one is carried out at a time" decompose list.json "$model" -o out
    refuses 4 "has no matrix" decompose "$plan" "$model" -o out --exclude q_proj
    refuses 2 "needs -o" decompose "$plan" "$model"
    refuses 2 "none of hf, packed, bnb" decompose "$plan" "$model" -o out --emit hf,gguf
    refuses 2 "none of 8" decompose "$plan" "$model" -o out --low-rank-bits 4
    refuses 1 "is what is read here" decompose "$plan" "$model" -o "$model" --force
    refuses 4 "not a packed form" unpack "$model" -o out
    absent out
}

@test "packed files that contradict themselves are refused" {
    need_python
    local change
    for change in '.low_rank_bits = "7"' '.version = "2"' '.file = "../x"' 'del(.tensors)' \
        '.matrices |= (fromjson | .[0].shape = [0, 4] | tojson)' \
        '.matrices |= (fromjson | .[0].shape[0] *= 2 | tojson)' \
        '.matrices |= (fromjson | del(.[0]) | tojson)' \
        '.tensors |= (fromjson | .[1].shape += [3] | tojson)'; do
        rm -rf bad
        cp -r "$done_/packed" bad
        st_tool edit bad/packed.safetensors ".__metadata__ |= ($change)"
        attempt "$BITPLAN" unpack bad -o out
        [[ $status -eq 4 || $status -eq 1 ]] || show_last
        is_refusal "$status" bad/packed.safetensors || is_refusal "$status" "bad: "
        absent out
    done
    rm -rf bad
    cp -r "$done_/packed" bad
    st_tool set bad/packed.safetensors model.layers.0.mlp.up_proj.weight.scale_offset 0 -1
    refuses 4 "negative or not finite" unpack bad -o out2 --progress none
}

# --- safe ---

@test "kill -9 in the middle, and the same command again: the undisturbed bytes" {
    local i pid n=0
    decompose "$long_plan" "$long" whole --emit hf,packed
    # shellcheck disable=SC2034
    for i in 1 2 3; do
        "$BITPLAN" decompose "$long_plan" "$long" -o out --emit hf,packed --threads 1 --progress none \
            >/dev/null 3>&- &
        pid=$!
        until [[ $(tr -cd '#' 2>/dev/null <out/.bitplan-unfinished | wc -c) -gt $n ]] ||
            ! kill -0 "$pid" 2>/dev/null; do
            sleep 0.01
        done
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" || true
        [[ -e out/.bitplan-unfinished ]] || break
        absent out/model.safetensors
        n=$(tr -cd '#' <out/.bitplan-unfinished | wc -c)
    done
    [[ $n -gt 0 ]]
    refuses 4 "is not finished" verify "$long_plan" --model "$long" --output out
    refuses 1 "unfinished work of another plan" decompose "$long_plan" "$long" -o out --emit hf
    decompose "$long_plan" "$long" out --emit hf,packed
    says "of them by an earlier run"
    same_tree out whole
}

@test "what exists is kept, other unfinished work too, unless --force" {
    mkdir out
    echo mine >out/config.json
    refuses 1 "out/config.json: exists already" decompose "$plan" "$model" -o out
    [ "$(<out/config.json)" = mine ]
    holds out config.json
    decompose "$plan" "$model" out --emit hf,packed --low-rank-bits 32 --force
    same_tree out "$done_"
    refuses 1 "exists already" decompose "$plan" "$model" -o out --emit hf,packed --low-rank-bits 32
    refuses 1 "does not exist" decompose "$plan" "$model" -o none/out
    printf 'bitplan unfinished 1 %016d 7%26s\n.......' 0 '' >out/.bitplan-unfinished
    touch out/.model.safetensors.bitplan-part
    refuses 1 "unfinished work" decompose "$plan" "$model" -o out --emit hf
    decompose "$plan" "$model" out --emit hf,packed --low-rank-bits 32 --force
    same_tree out "$done_"
}

@test "no room: said before anything is computed" {
    need_mounts
    attempt on_small_disk 64k "$BITPLAN" decompose "$plan" "$model" -o disk/out --progress none
    is_refusal 1 "bytes more, but only"
    [ ! -s disk.list ]
}

@test "Ctrl-C keeps what is in place" {
    "$BITPLAN" decompose "$long_plan" "$long" -o out --threads 1 --progress json >said 2>progress 3>&- &
    local pid=$! status=0
    until [[ -e out/.bitplan-unfinished ]] || ! kill -0 "$pid" 2>/dev/null; do
        sleep 0.01
    done
    kill -INT "$pid"
    wait "$pid" || status=$?
    if [[ $status -ne 0 ]]; then
        grep -q "stopped: what is in out so far is kept" progress
        absent out/config.json
        decompose "$long_plan" "$long" out
    fi
    grep -v bitplan: progress | jq -es 'all(.unit == "weights" or .unit == "weights read back")'
    works verify "$long_plan" --model "$long" --output out
}
