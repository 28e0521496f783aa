#!/usr/bin/env bats
# The workbench without a terminal: scripts of keys, what they write, and the plan in words.
# shellcheck disable=SC2154,SC2016,SC2054 # variables of helpers.bash; dollars of jq; commas

load helpers

llama=$project/sessions/llama-2-7b.safetensors
story=$project/sessions/story-656k.safetensors
rules=(--grid b0=2,3:b1=2,4:b2=bf16,fp16:B0=16,64:B1=16,256 --pin 'q_proj=nf3:*:*:64:*'
    --floor up_proj=2.5 --tie gate_up --weight o_proj=4)

setup_file() {
    make_model "$model"
}

# Every test has the tables beside it, and a home of its own.
setup() {
    mkdir "$BATS_TEST_TMPDIR/work" "$BATS_TEST_TMPDIR/home"
    cd "$BATS_TEST_TMPDIR/work" || return
    export HOME=$BATS_TEST_TMPDIR/home
    unset XDG_STATE_HOME XDG_CONFIG_HOME BITPLAN_SESSIONS
    cp "$llama" llama.safetensors
    cp "$story" story.safetensors
}

# --- helpers ---

# plays FILE WORD... [-- OPTION...]: replays the words, the last frame is in `output`.
plays() {
    local file=$1 words=()
    shift
    while [[ $# -gt 0 && $1 != -- ]]; do
        words+=("$1")
        shift
    done
    [[ $# -eq 0 ]] || shift
    works "$file" --script "${words[*]}" "$@"
}

# types FILE LINE... [-- OPTION...]: the same with lines of the command line.
types() {
    local file=$1 words=()
    shift
    while [[ $# -gt 0 && $1 != -- ]]; do
        words+=("\":${1//\\/\\\\}\"" Enter)
        shift
    done
    plays "$file" "${words[@]}" "$@"
}

# lines_of ARRAY: options as lines of the command line into `lines`.
lines_of() {
    local -n options=$1
    local i
    lines=()
    for ((i = 0; i < ${#options[@]}; i += 2)); do
        lines+=("${options[i]#--} ${options[i + 1]}")
    done
}

# place_of TEXT: X,Y of the text's first place in the last frame.
place_of() {
    local LC_ALL=C.UTF-8 y=-2 line before
    while IFS= read -r line; do
        y=$((y + 1))
        before=${line%%"$1"*}
        [[ $y -lt 0 || $before == "$line" ]] || {
            echo "$((${#before} - 1)),$y"
            return
        }
    done <<<"$output"
    show_last
}

# well_formed [FILE]: an ASCII frame is as the manual says: two planes of the size that it names,
# every letter a role, then nothing but reversed runs and a cursor.
well_formed() {
    awk '
        function bad(what) { print FILENAME ": line " NR ": " what ": " $0; failed = 1; exit 1 }
        NR == 1 {
            if ($0 !~ /^size [0-9]+x[0-9]+$/) bad("no size")
            split($2, size, "x")
            cols = size[1]; rows = size[2]
            next
        }
        NR == rows + 2 { if ($0 != "") bad("no empty line"); next }
        NR <= 2 * rows + 2 {
            if (length($0) != cols + 2 || !/^\|.*\|$/) bad("no row")
            if (NR > rows + 2 && $0 !~ /^[-|.TFKVGWESOxL=CUNBPHqrstuva-p]*$/) bad("no role")
            next
        }
        NR == 2 * rows + 3 { if ($0 != "") bad("no empty line"); next }
        !/^reversed [0-9]+,[0-9]+\+[0-9]+$/ && !/^cursor [0-9]+,[0-9]+$/ { bad("nothing known") }
        END { if (!failed && NR < 2 * rows + 2) { print "too short"; exit 1 } }
    ' "$@"
}

# --- scripts ---

@test "an empty script shows the first frame; words are keys, text, mouse, sizes and waits" {
    local word
    plays story.safetensors
    [[ ${output%%$'\n'*} == "size 80x24" ]] || show_last
    for word in Right S-Right C-Left F1 C-l q Space Enter Esc Tab S-Tab '?' '"' ü '"a b"' '""' \
        click:3,3 drag:3,3-20,3 wheel:3,12,-1 wheel:3,12,-2147483648 size:100x30 size:1x1 wait; do
        plays story.safetensors "$word"
    done
}

@test "a word that is none is named, status 2" {
    local word
    for word in Rihgt S-a click:1 click:1,2x drag:1,2 wheel:1,2 size:0x4 size:9999x4 size:10 -- ab; do
        refuses 2 "--script: '$word' is no word" story.safetensors --script "Right $word Left"
    done
    refuses 2 "'a?b' is no word" story.safetensors --script $'a\1b'
}

@test "every word makes a frame, numbered from 0000; the last is what is printed without --dump" {
    plays story.safetensors -- --dump frames --ascii
    holds frames 0000.txt
    plays story.safetensors Right '"abc"' size:120x36 '?' -- --dump frames --ascii
    [[ -z $output ]] || show_last
    holds frames 0000.txt 0001.txt 0002.txt 0003.txt 0004.txt
    [[ $(head -n1 -q frames/000[23].txt) == $'size 80x24\nsize 120x36' ]]
    plays story.safetensors Right '"abc"' size:120x36 '?' -- --ascii
    [[ $output == "$(<frames/0004.txt)" ]]
    differ frames/0000.txt frames/0001.txt
}

@test "leaving ends a script, and a question before it has an answer" {
    plays story.safetensors q Right -- --dump frames
    holds frames 0000.txt
    plays story.safetensors '":card 8GiB"' Enter q d Right Right -- --dump more
    holds more 0000.txt 0001.txt 0002.txt 0003.txt
}

@test "frames have the size that they name, bars, and a role for every cell" {
    plays llama.safetensors v c i g Space m B '?' q '":b"' Tab size:200x60 size:120x36 size:61x17 \
        size:20x3 size:1x1 -- --dump frames --ascii
    local frame
    for frame in frames/*; do
        well_formed "$frame"
    done
}

@test "--dump goes with --script, and into a folder that can be made" {
    refuses 2 "--dump goes with --script" story.safetensors --dump frames
    refuses 1 "no/frames: cannot be made" story.safetensors --script q --dump no/frames
    refuses 1 "story.safetensors/0000.txt" story.safetensors --script q --dump story.safetensors
}

@test "quotes and backslashes can be typed" {
    plays story.safetensors '":a\"b\\\\c"'
    says ':a"b\\c'
}

@test "a click flips a switch of the grid, a drag moves the slider, the wheel scrolls the help" {
    plays story.safetensors g -- --ascii
    local switch slider
    switch=$(place_of '[x]4')
    slider=$(place_of '*')
    plays story.safetensors g "click:$switch" '":export click.json"' Enter -- --ascii
    jq -e '.constraints | length == 1 and .[0].option == "--grid"
        and (.[0].value | startswith("b0=2,3:"))' click.json
    plays story.safetensors "drag:$slider-60,${slider#*,}" '":export drag.json"' Enter
    jq -e '.budget.asked > 3 and .budget.asked < 4.3' drag.json
    plays story.safetensors '?' -- --ascii
    local third
    third=$(sed -n 7p <<<"$output")
    plays story.safetensors '?' wheel:5,9,3 -- --ascii
    [[ $(sed -n 4p <<<"$output") == "$third" ]] || show_last
}

@test "a model is measured into the table of -o, and wait waits for it" {
    works "$model" -o t.safetensors --grid "$two" --rank 4 --size 120x36 \
        --script 'wait ":export p.json" Enter'
    says "measured 100 %"
    "$BITPLAN" measure "$model" -o u.safetensors --grid "$two" --rank 4 --progress none >/dev/null
    cmp t.safetensors u.safetensors
    works verify p.json
    works t.safetensors --json
    [[ $output == "$(<p.json)" ]]
}

@test "d carries the plan out: the bytes that decompose writes" {
    works "$model" -o t.safetensors --grid "$two" --rank 4 --size 120x36 --script \
        "wait \":bits 2.75\" Enter d \"here\" Enter wait \":export p.json\" Enter d"
    says "decompose $model"
    "$BITPLAN" decompose p.json "$model" -o there --progress none >/dev/null
    diff -r here there
    works t.safetensors --script ': "bits 2.75" Enter : "decompose here" Enter'
    says "decompose needs a model and a folder"
    works t.safetensors --script ": \"decompose $model here\" Enter wait"
    says "exists already and was kept" ":decompose!"
    works t.safetensors --script ": \"decompose! $model here packed\" Enter wait"
    says "decomposed into here"
    holds here/packed config.json packed.safetensors
    works t.safetensors --script ": \"decompose $model x gguf\" Enter wait"
    says "none of hf, packed, bnb"
    works t.safetensors --script ': "stop" Enter'
    says "nothing is being carried out"
}

# --- the same plan ---

# same_plan TABLE WORKBENCH-LINES SOLVE-OPTION...: typed and exported, or solved: the same bytes.
same_plan() {
    local table=$1 lines
    mapfile -t lines <<<"$2"
    rm -f p.json q.json again.json
    types "$table" "${lines[@]}" 'export p.json'
    works solve "$table" "${@:3}" -o q.json
    cmp p.json q.json
    works verify p.json
    types p.json 'export again.json'
    cmp p.json again.json
}

@test "what is exported is what solve writes: bits, bytes, everything in memory" {
    same_plan llama.safetensors 'bits 2.6' --bits 2.6
    same_plan llama.safetensors 'size 2.2GiB' --size 2.2GiB
    same_plan llama.safetensors 'total 8GiB' --total 8GiB --context 4096 --batch 1
    same_plan llama.safetensors $'set context 32768\nset batch 2\ntotal 40GiB' \
        --total 40GiB --context 32768 --batch 2
    same_plan story.safetensors 'bits 2.6' --bits 2.6
    same_plan story.safetensors 'size 150KiB' --size 150KiB
}

@test "a total over several ranks: exported as solve writes it, and the arrows move the total" {
    "$BITPLAN" measure "$model" -o ranks.safetensors --rank 0,4,8 --iterations 2 --progress none \
        --grid b0=2,3:b1=4:b2=fp32:B0=64:B1=256 >/dev/null
    same_plan ranks.safetensors $'set context 9\ntotal 163kB' --total 163kB --context 9
    same_plan ranks.safetensors $'set context 9\nlow-rank-bits 8\ntotal 160kB' \
        --total 160kB --context 9 --low-rank-bits 8
    same_plan ranks.safetensors $'bits 2.5\nlow-rank-bits 8' --bits 2.5 --low-rank-bits 8
    types ranks.safetensors 'set context 0' 'total 163kB'
    says "effective bits/param" "in all"
    types ranks.safetensors 'set context 0' 'total 1kB' 'bits 2.5' 'total 140kB'
    says "no plan: the least budget is" "bytes in all"
    plays ranks.safetensors '":set context 0"' Enter '":total 163kB"' Enter Right Right Left Left \
        '":export there.json"' Enter Home '":export least.json"' Enter End '":export most.json"' Enter
    # There and back again: on a multiple of a step, so not below and less than a step above.
    jq -es '.[0].budget.asked as $a | (.[1].budget.asked < $a) and ($a < .[2].budget.asked)
        and all(.budget.unit == "total bytes" and .budget.spent_bits <= .budget.bits)
        and .[1].budget.spent_bits + 7 >= .[1].budget.bits' there.json least.json most.json
    works verify most.json
    types ranks.safetensors 'low-rank-bits 8' 'total 4MB' 'save s.json'
    works s.json --json
    json '.memory.low_rank_bits == 8 and .budget.asked == 4000000'
    works ranks.safetensors --low-rank-bits 32 --bits 2.5 --json
    json '.memory.low_rank_bits == 32'
}

@test ":stability says what solve --stability finds" {
    works solve story.safetensors --bits 2.6 --stability 2 --json
    local steady regret
    steady=$(jq '.stability.share_codes_steady * (.matrices | length) | round' <<<"$output")
    regret=$(jq '100 * .stability.regret_max' <<<"$output")
    plays story.safetensors '":bits 2.6"' Enter '":stability 2%"' Enter wait -- --size 120x36
    says "2 % noise, 20 plans: $steady of " "$(LC_ALL=C printf '%.3g %% at most' "$regret")"
    types story.safetensors 'stability lots'
    says "is no percentage"
    # A budget that moves leaves nothing to say.
    plays story.safetensors '":stability 2"' Enter Right wait
    [[ $output != *noise* ]] || show_last
}

@test "what is exported is what solve writes: under all kinds of constraints" {
    local lines
    lines_of rules
    same_plan llama.safetensors "$(printf '%s\n' "${lines[@]}" 'bits 2.8')" "${rules[@]}" --bits 2.8
    same_plan story.safetensors "$(printf '%s\n' "${lines[@]}" 'bits 2.8')" "${rules[@]}" --bits 2.8
    same_plan story.safetensors $'ban v_proj=nf2:*:*:*:*\nceil down_proj=3.1\nbits 3' \
        --ban 'v_proj=nf2:*:*:*:*' --ceil down_proj=3.1 --bits 3
}

@test "options do what typing does, on the screen, in words and as JSON" {
    local lines
    lines_of rules
    types story.safetensors "${lines[@]}" 'bits 2.8' 'export typed.json'
    types story.safetensors 'export options.json' -- "${rules[@]}" --bits 2.8
    cmp typed.json options.json
    works story.safetensors "${rules[@]}" --bits 2.8 --json
    [[ $output == "$(<typed.json)" ]]
    works story.safetensors "${rules[@]}" --bits 2.8
    says "2.8 bits/param" "in words"
    types story.safetensors 'export ban.json' -- --ban 'v_proj=nf2:*:*:*:*' --ceil down_proj=3.1
    works story.safetensors --ban 'v_proj=nf2:*:*:*:*' --ceil down_proj=3.1 --json
    [[ $output == "$(<ban.json)" ]]
    works llama.safetensors --total 8GiB --json
    json '.budget.asked == 8589934592 and .budget.context == 4096'
}

@test "--size is the screen where it is COLSxROWS, else the budget" {
    plays story.safetensors '":export p.json"' Enter -- --size 120x36 --size 150KiB
    [[ ${output%%$'\n'*} == "size 120x36" ]] || show_last
    jq -e '.budget.asked == 153600 and .budget.unit == "bytes"' p.json
    works story.safetensors --size 120x36 --size 150KiB --json
    [[ $output == "$(<p.json)" ]]
}

@test "options that are wrong are refused where there is no screen" {
    refuses 2 "budget in bits/param" story.safetensors --bits x
    refuses 2 "is no size" story.safetensors --size 12x
    refuses 3 "below the least possible" story.safetensors --bits 1.5
    refuses 2 "matches no matrix" story.safetensors --pin 'no=nf4:*:*:*:*'
    refuses 2 "has no option '--context'" story.safetensors --context 1
}

# --- files ---

@test ":export x.csv has a header, a line a matrix, and the sums of the JSON" {
    types llama.safetensors 'bits 2.6' 'export x.csv' 'export x.json'
    [[ $(head -n1 x.csv) == matrix,d,k,layer,kind,config,rank,storage_bits,bits_per_param,error,relative_error ]]
    [[ $(wc -l <x.csv) -eq 225 ]]
    [[ $(awk -F, 'NR > 1 { n += $8 } END { printf "%.0f", n }' x.csv) == "$(jq .totals.storage_bits x.json)" ]]
    awk -F, -v want="$(jq .totals.error x.json)" 'NR > 1 { n += $10 }
        END { d = n / want - 1; exit !(d < 1e-12 && d > -1e-12) }' x.csv
    [[ $(cut -d, -f1,8 x.csv | tail -n +2) == "$(jq -r '.matrices[] | "\(.name),\(.storage_bits)"' x.json)" ]]
}

@test "files that exist are kept, unless the word ends in an exclamation mark" {
    echo mine >p.json
    echo mine >p.csv
    echo mine >s.json
    types story.safetensors 'export p.json' 'export p.csv' 'save s.json' 'export no/p.json'
    [[ $(cat p.json p.csv s.json) == $'mine\nmine\nmine' ]]
    types story.safetensors 'export p.json' -- --size 120x36
    says "p.json" ":export!"
    types story.safetensors 'export! p.json' 'export! p.csv' 'save! s.json'
    jq -e '.certificate.status == "optimal"' p.json
    jq -e '.format == "bitplan.session"' s.json
    [[ $(wc -l <p.csv) -eq 15 ]]
    holds . llama.safetensors story.safetensors p.json p.csv s.json
}

# --- sessions ---

everything=('bits 2.6' 'bookmark one' 'pin q_proj=nf3:*:*:64:*' 'grid b0=2,3:b1=2,4:b2=bf16,fp16:B0=16,64:B1=16,256'
    'tie gate_up' 'floor up_proj=2.5' 'weight o_proj=4' 'bits 2.8' 'bookmark zwei und mehr'
    'card 48GiB' 'set context 8192' 'set batch 2' 'set kv-bits 8' 'set train-batch 4' 'metric error'
    'find layers.1.mlp.up' 'show memory')

@test "a session saved, opened and saved again is the same bytes" {
    types story.safetensors "${everything[@]}" 'save s.json' 'export p.json'
    jq -e '(.bookmarks | length == 2) and (.constraints | length == 5) and .memory.context == 8192
        and .budget.asked == 2.8 and .view.metric == "error" and .view.panel == "memory"
        and .view.matrix == "model.layers.1.mlp.up_proj.weight"' s.json
    types s.json 'save t.json' 'export q.json'
    cmp s.json t.json
    cmp p.json q.json
    cp s.json before.json
    types s.json 'save'
    cmp s.json before.json
    works s.json --json
    [[ $output == "$(<p.json)" ]]
}

@test "a session is found again with its table, wherever the two have gone" {
    mkdir one
    mv story.safetensors one/
    types one/story.safetensors 'bits 3' 'save one/s.json' 'export p.json'
    mv one "the other"
    (cd "the other" && types s.json 'export q.json')
    works "the other/s.json" --json
    diff <(jq -S 'del(.table.path)' p.json) <(jq -S 'del(.table.path)' <<<"$output")
    diff <(jq -S 'del(.table.path)' p.json) <(jq -S 'del(.table.path)' "the other/q.json")
    rm "the other/story.safetensors"
    refuses 4 "story.safetensors" "the other/s.json"
}

@test "undone to the start and redone to the end: the same plans" {
    local undo=() redo=() i
    for ((i = 0; i < 25; i++)); do
        undo+=(u)
        redo+=(U)
    done
    local words=() line
    for line in "${everything[@]}"; do
        words+=("\":$line\"" Enter)
    done
    plays story.safetensors '":export start.json"' Enter Right Right "${words[@]}" \
        '":export end.json"' Enter '":save end"' Enter "${undo[@]}" '":export undone.json"' Enter \
        "${redo[@]}" '":export redone.json"' Enter '":save redone"' Enter
    cmp start.json undone.json
    cmp end.json redone.json
    cmp end redone
    differ start.json end.json
}

@test "a session that is wrong is refused with one line, status 4" {
    types story.safetensors "${everything[@]}" 'save good.json'
    local filter
    while read -r filter; do
        jq "$filter" good.json >bad.json
        refuses 4 bad.json bad.json
        refuses 4 bad.json bad.json --script Right
    done <<'END'
.version = 2
.more = 1
del(.table)
.table.path = "nowhere.safetensors"
.table.path = 1
.budget.asked = -1
.budget.unit = "pounds"
.constraints[0].option = "--nothing"
.constraints = {}
.memory.card = -1
.memory["kv-bits"] = "many"
.bookmarks[0].name = ""
.bookmarks[0].name = .bookmarks[1].name
.bookmarks[0].choice = "all"
.bookmarks[0].storage_bits = 1.5
.view = [1]
END
    head -c 300 good.json >bad.json
    refuses 4 bad.json bad.json
    printf '{"format":"bitplan.session"' >bad.json
    refuses 4 bad.json bad.json
    printf '\0' >bad.json
    refuses 4 bad.json bad.json
    : >bad.json
    refuses 4 bad.json bad.json
}

@test "a session whose kept plans and constraints fit no longer opens, and says so where it matters" {
    types story.safetensors "${everything[@]}" 'save good.json'
    jq '.bookmarks[0].choice = [9999] | .bookmarks[1].choice |= map(. + 10000)' good.json >s.json
    plays s.json B C Down C a '":go one"' Enter '":export p.json"' Enter -- --size 200x60
    jq -e '.budget.asked == 2.6' p.json
    jq '.view = {"panel": "attic", "metric": "taste", "matrix": "none"}' good.json >s.json
    plays s.json
    jq '.constraints[1].value = "nothing=nf4:*:*:*:*"' good.json >s.json
    plays s.json -- --size 120x36
    says "matches no matrix"
    jq '.table.fingerprint = "xxh3:0"' good.json >s.json
    plays s.json -- --size 120x36
    says "the table has changed"
}

# --- without a terminal ---

@test "a table, a session and a plan in words, a model as info prints it" {
    works story.safetensors
    says story-656K "14 matrices x 243" "2.75 bits/param" "optimal (proved)" "best uniform"
    local printed=$output
    types story.safetensors 'save s.json' 'export p.json'
    works s.json
    [[ $output == "$printed" ]]
    works p.json
    [[ $output == "$printed" ]]
    works workbench p.json
    [[ $output == "$printed" ]]
    works "$model"
    local model_words=$output
    works info "$model"
    [[ $output == "$model_words" ]]
    works p.json --json
    [[ $output == "$(<p.json)" ]]
}

@test "without FILE the shipped session opens from anywhere, and is not written to" {
    local sum
    sum=$(cksum <"$project/sessions/llama-2-7b.json")
    cd "$HOME"
    works
    says Llama-2-7b "2.75 bits/param"
    works --json
    json '.model.name | contains("Llama-2-7b")'
    works --script 'Right ":card 8GiB" Enter w'
    says Llama-2-7b ":save"
    [[ $(cksum <"$project/sessions/llama-2-7b.json") == "$sum" ]]
    mkdir shipped
    cp "$story" shipped/
    cp "$project/sessions/story-656k.json" shipped/llama-2-7b.json
    export BITPLAN_SESSIONS=$PWD/shipped
    works
    says story-656K
    refuses 2 "no command and no file 'nosuch'" nosuch
    refuses 4 "./nosuch: " ./nosuch
}

@test "both shipped sessions open, and their tables are what they were saved with" {
    local session
    for session in llama-2-7b story-656k; do
        works "$project/sessions/$session.json" --script a
        [[ $output != *"has changed"* ]] || show_last
    done
}

@test "a table that is measured in part: what is there is planned, and the header says how much" {
    need_python
    cp story.safetensors part.safetensors
    st_tool set part.safetensors error 7..13,: nan
    plays part.safetensors '":export p.json"' Enter -- --size 120x36
    says "measured 50 %"
    jq -e '.matrices | length == 7' p.json
    plays part.safetensors / '"layers.1.mlp.down"' Enter i p -- --size 120x36
    says "not measured yet" "not planned yet"
    works part.safetensors
    says "7 of 14 matrices"
    works part.safetensors --json
    [[ $output == "$(<p.json)" ]]
    st_tool set part.safetensors error 0..13,: nan
    refuses 4 "no row is measured yet" part.safetensors --script Right
    attempt "$BITPLAN" part.safetensors
    is_refusal 4 "measured"
}
