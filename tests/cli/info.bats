#!/usr/bin/env bats
# bitplan info: what models, tables and plans are, and what it says of files that are none.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

setup_file() {
    make_table
    "$BITPLAN" solve "$table" --bits 2.5 -o "$plan" >/dev/null
}

# --- models ---

@test "the story model: 14 matrices, the tied alias, nothing synthetic" {
    need_shared data/story-656K
    works info "$BP_SHARED/data/story-656K"
    says "planned: 14 matrices, 393,216 parameters" "656,000 parameters" \
        "tied: model.embed_tokens.weight is lm_head.weight"
    [[ $output != *synthetic* ]]
    works info "$BP_SHARED/data/story-656K" --json
    json '.what == "model" and .matrices == 14 and .params == 656000 and .synthetic == false'
    json '.aliases == [{name: "model.embed_tokens.weight", is: "lm_head.weight"}]'
    json '[.tensors[] | select(.planned)] | length == 14'
    json '[.tensors[] | select(.planned | not) | .reason] | length == 6 and all(. != "")'
}

@test "a folder and its one file are the same model" {
    works info "$model" --json
    local folder
    folder=$(jq -c 'del(.name, .architecture, .synthetic)' <<<"$output")
    works info "$model/model.safetensors" --json
    [[ $(jq -c 'del(.name, .architecture, .synthetic)' <<<"$output") == "$folder" ]] || show_last
}

@test "a sampled model says synthetic, in text and JSON" {
    works info "$model"
    says "a model (synthetic)" "planned: 7 matrices, 65,536 parameters" "64 x 256" normalization
    works info "$model" --json
    json '.synthetic and .matrices == 7 and .params_planned == 65536'
    json '([.tensors[] | select(.planned) | .shape[0] * .shape[1]] | add) == .params_planned'
}

@test "--include and --exclude overrule, and the reason is shown" {
    works info "$model" --include lm_head --json
    json '.matrices == 8 and (.tensors[] | select(.name == "lm_head.weight") | .planned)'
    works info "$model" --exclude 'mlp\.' --exclude q_proj --json
    json '.matrices == 3'
    json '.tensors[] | select(.name | test("q_proj")) | (.planned | not) and .reason != ""'
    works info "$model" --include lm_head --exclude .
    says "planned: 0 matrices"
}

@test "--include and --exclude that do nothing are a typing error" {
    local option
    for option in --include --exclude; do
        refuses 2 "$option 'q_porj' matches no tensor" info "$model" "$option" q_porj
        refuses 2 "not a regular expression" info "$model" "$option" '('
    done
    refuses 2 "normalization" info "$model" --include input_layernorm
}

@test "a model in shards" {
    need_python
    mkdir two
    cp "$model/config.json" two
    st_tool make two/a.safetensors model.layers.0.self_attn.q_proj.weight=F32:64,64
    st_tool make two/b.safetensors model.layers.0.mlp.up_proj.weight=BF16:96,64
    jq -n '{metadata: {total_size: 28672}, weight_map: {
        "model.layers.0.self_attn.q_proj.weight": "a.safetensors",
        "model.layers.0.mlp.up_proj.weight": "b.safetensors"}}' >two/model.safetensors.index.json
    works info two --json
    json '.files == 2 and .matrices == 2 and .params == 10240'
    truncate -s 5000 two/b.safetensors
    refuses 4 "two/b.safetensors" info two
    rm two/b.safetensors
    refuses 4 "b.safetensors" info two
}

# --- tables and plans ---

@test "a table: counts, what is measured, the range of budgets" {
    works info "$table"
    says "an error table (synthetic)" "14 of 14 cells (100.0 %)" "2.0659 to 3.0659 bits/param"
    works info "$table" --json
    json '.what == "table" and .matrices == 7 and .candidates == 2 and .cells_measured == .cells'
    json '.params == 65536 and .least_bits < .most_bits and .synthetic'
}

@test "a table with holes is shown, too" {
    need_python
    cp "$table" holes.safetensors
    st_tool set holes.safetensors error 3,: nan
    works info holes.safetensors
    says "12 of 14 cells" "not every matrix is measured"
    works info holes.safetensors --json
    json '.cells_measured == 12 and (has("least_bits") | not)'
}

@test "a plan and a list of plans" {
    works info "$plan"
    says "a plan for model (synthetic): 7 matrices" optimal
    "$BITPLAN" solve "$table" --bits 2.25,2.5,3 -o list.json >/dev/null
    works info list.json
    [[ $(wc -l <<<"$output") -eq 3 ]]
}

# --- files that are none of these: status 4, one line that names the file ---

@test "a Git LFS pointer is named as what it is" {
    need_shared data/hf-index/lfs-pointer-as-safetensors.txt
    mkdir folder
    cp "$BP_SHARED/data/hf-index/lfs-pointer-as-safetensors.txt" x.safetensors
    cp x.safetensors folder/model.safetensors
    refuses 4 "x.safetensors: is a Git LFS pointer" info x.safetensors
    says_stderr "9,798,096,920" "git lfs pull"
    refuses 4 "folder/model.safetensors: is a Git LFS pointer" info folder
}

@test "a truncated file, in its header, in its data and by one byte" {
    local size n
    size=$(stat -c %s "$model/model.safetensors")
    for n in 1 7 8 9 500 5000 $((size - 1)); do
        head -c "$n" "$model/model.safetensors" >cut.safetensors
        refuses 4 cut.safetensors info cut.safetensors
    done
    says_stderr "1 byte"
}

@test "nothing there, an empty folder, a folder without a model" {
    refuses 4 "nowhere: No such file" info nowhere
    refuses 4 ": No such file" info ""
    mkdir empty
    refuses 4 "empty: holds neither" info empty
    echo text >empty/README
    refuses 4 "empty: holds neither" info empty
    refuses 4 "empty/README" info empty/README/
}

@test "an empty file, garbage, a device, a pipe" {
    : >empty.safetensors
    refuses 4 "empty.safetensors: only 0 bytes" info empty.safetensors
    head -c 4000 /dev/zero | tr '\0' '\377' >garbage
    refuses 4 "garbage: not a safetensors file" info garbage
    echo "no model, but a text of some length" >text
    refuses 4 "text: not a safetensors file" info text
    refuses 4 "/dev/zero" info /dev/zero
    mkfifo pipe
    refuses 4 "pipe: is not a regular file" info pipe
}

@test "JSON that is no plan, JSON that is none" {
    local text
    for text in '{}' '[]' '[[]]' '{"a": 1}' '{"format": "bitplan.plan"}' '[{}, 3]' '{"a":' '{"a" 1}' \
        '{"a": 1} x' '[1,]' '{"a": "'; do
        echo "$text" >x.json
        refuses 4 "x.json: " info x.json
    done
    head -c 100000 /dev/zero | tr '\0' '[' >deep.json
    refuses 4 "deep.json: " info deep.json
}

@test "an unreadable file is named" {
    [[ $EUID -ne 0 ]] || skip "root reads everything"
    cp "$table" locked.safetensors
    chmod 0 locked.safetensors
    refuses 4 "locked.safetensors: " info locked.safetensors
}

@test "a config.json that is broken" {
    cp -r "$model" broken
    echo '{"hidden_size": ' >broken/config.json
    refuses 4 "broken/config.json" info broken
}

@test "a plan's --json is a list of what it says" {
    works info "$plan" --json
    json 'length == 1 and .[0].what == "plan" and .[0].status == "optimal" and .[0].matrices == 7'
}

@test "--include and --exclude are refused for tables, plans and sessions" {
    refuses 2 "is a plan; --include" info "$plan" --include x
    refuses 2 "is a table; --include" info "$table" --exclude x
    make_session s.json
    refuses 2 "is a session; --include" info s.json --exclude x
}

# --- sessions ---

# make_session FILE [JQ-FILTER]: a session on the table, changed by the filter.
make_session() {
    jq -n --arg table "$table" '{format: "bitplan.session", version: 1,
        table: {path: $table, fingerprint: ""}, budget: {asked: 2.75, unit: "bits/param"},
        constraints: [{option: "--pin", value: "q_proj=nf3:*:*:*:*"}], memory: {context: 8192},
        bookmarks: [{name: "first", budget: {asked: 1000, unit: "bytes", bits: 8000},
            constraints: [], storage_bits: 7000, error: 0.5, optimal: true, choice: [0, 1]}],
        view: {panel: "grid"}}' | jq "${2-.}" >"$1"
}

@test "a session: its table, budget, constraints, memory and bookmarks" {
    make_session s.json
    works info s.json
    says "s.json: a session" "table        $table" "2.75 bits/param" "--pin q_proj=nf3:*:*:*:*" \
        "a context of 8,192" "first: 1000 bytes, error 0.5, optimal"
    works info s.json --json
    json '.what == "session" and .constraints == 1 and .bookmarks == 1'
    json --arg table "$table" '.table == $table and .budget == {asked: 2.75, unit: "bits/param"}'
    make_session s.json '.budget = null | .table.path = "" | del(.bookmarks)'
    works info s.json
    says "none yet" "none chosen yet" "bookmarks    0"
    works info s.json --json
    json '.budget == null and .table == "" and .bookmarks == 0'
}

@test "a session's table is taken from where the session lies" {
    mkdir -p there/tables
    cp "$table" there/tables/t.safetensors
    make_session there/s.json '.table.path = "tables/t.safetensors"'
    works info there/s.json
    says "there/tables/t.safetensors"
    rm there/tables/t.safetensors
    refuses 4 "there/s.json: table: the table there/tables/t.safetensors is not there" info there/s.json
}

@test "a session that is none is refused with its place" {
    make_session s.json '.version = 2'
    refuses 4 "s.json: a session of version 2, written by a newer bitplan" info s.json
    make_session s.json '.colour = 1'
    refuses 4 's.json: "colour" is nothing that this bitplan knows' info s.json
    make_session s.json '.bookmarks[0].choice[1] = 1.5'
    refuses 4 "s.json: bookmarks[0]: choice[1]" info s.json
    make_session s.json '.memory.card = 0'
    refuses 4 "s.json: memory: card" info s.json
}

@test "--lint lists what is odd about a table; without it they are counted" {
    works info "$table"
    says "findings    1, --lint lists them"
    works info "$table" --lint
    says "synthetic  " "is synthetic"
    works info "$table" --json
    json 'has("findings") | not'
    works info "$table" --lint --json
    json '.findings == [{rule: "synthetic", count: 1,
        text: "the model is synthetic: its errors are those of no trained weights"}]'
    works info "$project/sessions/story-656k.safetensors" --lint
    says "findings    none"
    works info "$project/sessions/story-656k.safetensors"
    [[ $output != *findings* ]] || show_last
    need_python
    cp "$table" t.safetensors
    st_tool set t.safetensors error 3,1 nan
    st_tool set t.safetensors error 0,1 1000
    works info t.safetensors --lint --json
    json '[.findings[] | [.rule, .count]] ==
        [["not_measured", 1], ["above_norm", 1], ["not_falling", 1], ["synthetic", 1]]'
    refuses 2 "--lint is for tables" info "$model" --lint
    refuses 2 "--lint is for tables" info "$project/sessions/llama-2-7b.json" --lint
}
