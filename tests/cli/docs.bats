#!/usr/bin/env bats
# What README and docs say, tried.

load helpers

setup_file() {
    make_table
    "$BITPLAN" solve "$table" --bits 2.5,3 --stability 5 --json >"$BATS_FILE_TMPDIR/plans.json"
}

# block FILE HEADING: the first code block below a heading.
block() {
    awk -v heading="$2" '
        $0 == heading { found = 1 }
        found && /^```/ { if (inside) exit; inside = 1; next }
        inside' "$1"
}

@test "README's first use, word for word" {
    make_model MODEL
    block "$project/README.md" "## A first use on your own model" >commands
    [ "$(wc -l <commands)" = 3 ]
    bitplan() {
        "$BITPLAN" "$@"
    }
    # shellcheck source=/dev/null
    . ./commands
    works verify plan.json --model MODEL --output OUT
}

@test "README's first walk, step by step" {
    walk() {
        works --size 120x36 --script "$1"
    }
    states() { # what README says, and what the screen says
        grep -qF -- "$1" <<<"$walk" || show_last
        says "${2:-$1}"
    }
    walk=$(awk '/^## A first walk/{on=1;next} /^## /{on=0} on' "$project/README.md")
    walk ''
    states 2.75 'target 2.7500'
    walk Right
    says 'target 2.7600'
    walk '3 Enter'
    states 3.096e6
    states 'optimal, proved'
    walk '3 Enter b Enter'
    states 3.000 "kept as '3.000'"
    walk '3 Enter b Enter "2.5" Enter C'
    says "compared with '3.000'" 'q_proj     ---'
    walk '3 Enter b Enter "2.5" Enter C Esc a j j l l'
    states 'v_proj of layer 2' 'model.layers.2.self_attn.v_proj.weight'
    states nf2:u2:bf16:16:256 'now   nf2:u2:bf16:16:256'
    walk '3 Enter b Enter "2.5" Enter C Esc a j j l l p'
    says 'pin ^model\.layers\.2\.self_attn\.v_proj\.weight$=nf2:u2:bf16:16:256'
    walk '3 Enter b Enter "2.5" Enter C Esc a j j l l p u g Space'
    states 3.032 '  3.032 '
    [[ $output != *'optimal, proved'* ]] || show_last
    block "$project/README.md" "The same as a script, which prints the last frame:" >command
    bitplan=$(head -n 1 command)
    [[ $bitplan == build/bitplan\ * ]]
    output=$(eval "\"\$BITPLAN\" ${bitplan#* }")
    states 2.9359 ' in all, 2.9359 bits/param'
    states '128 bytes' '128 bytes free'
    walk 'm : "card 5GiB" Enter f e Enter'
    says 'written to plan.json'
    works solve "$project/sessions/llama-2-7b.safetensors" --total 5GiB --context 4096 -o solved.json
    cmp <(jq 'del(.table.path)' plan.json) <(jq 'del(.table.path)' solved.json)
}

@test "README and the help name the same commands" {
    names=$("$BITPLAN" --help | awk '/^  [a-z]+ +\[?[A-Z]+(\]|\.\.\.)? /{print $1}')
    [[ $names == *workbench*merge*sample* ]]
    for name in $names; do
        # The workbench is what runs without a command, too.
        [ "$name" != workbench ] || name='\[FILE\]'
        grep -q "^| .bitplan $name" "$project/README.md"
    done
}

@test "the Python of docs/formats.md reads a table" {
    use_python numpy
    cp "$table" table.safetensors
    block "$project/docs/formats.md" "Reading a table with NumPy alone:" >read.py
    echo 'print(error.shape, len(names), np.isnan(error).sum())' >>read.py
    [ "$("$python" read.py)" = '(7, 2) 7 0' ]
}

@test "plans follow docs/plan.schema.json, and broken ones do not" {
    use_python jsonschema
    cat >check.py <<'PY'
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
for plan in json.load(open(sys.argv[2])):
    jsonschema.validate(plan, schema)
PY
    "$python" check.py "$project/docs/plan.schema.json" "$BATS_FILE_TMPDIR/plans.json"
    jq 'del(.[1].totals.error)' "$BATS_FILE_TMPDIR/plans.json" >broken.json
    ! "$python" check.py "$project/docs/plan.schema.json" broken.json 2>/dev/null
}

@test "sessions follow docs/session.schema.json as far as the program takes them" {
    use_python jsonschema
    cat >check.py <<'PY'
import json, subprocess, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
for path in sys.argv[3:]:
    taken = subprocess.run([sys.argv[2], "info", path], capture_output=True).returncode == 0
    try:
        session = json.load(open(path))
        if session.get("format") != "bitplan.session":
            continue
    except (ValueError, AttributeError):
        continue
    valid = jsonschema.Draft7Validator(schema).is_valid(session)
    # Names that are there twice, tables that are not: no schema can say that.
    if taken and not valid or valid and not taken and not path.endswith(("-twice", "-gone")):
        sys.exit(f"{path}: taken: {taken}, valid: {valid}")
PY
    "$python" check.py "$project/docs/session.schema.json" "$BITPLAN" \
        "$project"/tests/fuzz/corpus/session/*
}

@test "the manual page names every command and option" {
    "$BITPLAN" --man >page
    [ "$(head -c 4 page)" = '.TH ' ]
    for name in workbench measure merge solve sweep decompose unpack verify info sample; do
        grep -q "bitplan $name " page
        for option in $("$BITPLAN" "$name" --help | grep -oE '^ +(-[a-z], )?--[a-z]+' | grep -oE '[a-z]{2,}'); do
            [ "$option" = help ] || grep -qF "\\-\\-$option" page
        done
    done
}

@test "the manual page names every key, command and file of the workbench, and is sound roff" {
    "$BITPLAN" --man >page
    for section in KEYS "COMMAND LINE" SCRIPTS FILES ENVIRONMENT "EXIT STATUS" EXAMPLES; do
        grep -qxF ".SH $section" page
    done
    source=$project/src/ui
    for name in $(sed -nE 's/^ +X\(([A-Z_]+), "[^"]*".*/\1/p' "$source/actions.h"); do
        grep -q "^$(tr 'A-Z_' 'a-z-' <<<"$name" | sed 's/-/\\\\-/g'): " page
    done
    for word in $(sed -nE 's/^ +X\(([a-z]+), .*/\1/p' "$source/command_words.h"); do
        grep -q "^.fB$word[ \\]" page
    done
    for name in BITPLAN_SESSIONS NO_COLOR COLORTERM recovered; do
        grep -qF "$name" page
    done
    # No line of text begins as a request would, and no escape is cut off.
    [ -z "$(grep -E "^'|^\.[^A-Za-z]" page)" ]
    if command -v groff >/dev/null; then
        [ -z "$(groff -man -Tutf8 -ww -z page 2>&1)" ]
    fi
    if command -v mandoc >/dev/null; then
        [ -z "$(mandoc -Tlint page | grep -v 'STYLE: input text line longer\|WARNING: missing date')" ]
    fi
}

@test "the completion is bash and offers a command's options" {
    bash -n "$project/docs/bitplan.bash"
    PATH=$(dirname "$BITPLAN"):$PATH
    # shellcheck source=/dev/null
    . "$project/docs/bitplan.bash"
    COMP_WORDS=(bitplan solve --bi) COMP_CWORD=2
    _bitplan
    [ "${COMPREPLY[*]}" = --bits ]
    COMP_WORDS=(bitplan mea) COMP_CWORD=1
    _bitplan
    [ "${COMPREPLY[*]}" = measure ]
    touch meadow.safetensors
    _bitplan
    [ "${COMPREPLY[*]}" = 'meadow.safetensors measure' ]
    COMP_WORDS=(bitplan meadow.safetensors --scr) COMP_CWORD=2
    _bitplan
    [ "${COMPREPLY[*]}" = --script ]
    COMP_WORDS=(bitplan --du) COMP_CWORD=1
    _bitplan
    [ "${COMPREPLY[*]}" = --dump ]
}
