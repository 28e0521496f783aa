#!/usr/bin/env bats
# What README and docs say, tried.

load helpers

setup_file() {
    make_table
    "$BITPLAN" solve "$table" --bits 2.5,3 --json >"$BATS_FILE_TMPDIR/plans.json"
}

# use_python MODULE: sets python to one that has it; skips where none has.
use_python() {
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $1" 2>/dev/null && return
    done
    skip "no Python with $1"
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
    [ "$(wc -l <commands)" = 2 ]
    bitplan() {
        "$BITPLAN" "$@"
    }
    # shellcheck source=/dev/null
    . ./commands
    works verify plan.json --model MODEL
}

@test "README and the help name the same commands" {
    for name in $("$BITPLAN" --help | awk '/^  [a-z]+ +[A-Z]+ /{print $1}'); do
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
    for name in measure solve sweep verify info sample; do
        grep -q "bitplan $name " page
        for option in $("$BITPLAN" "$name" --help | grep -oE '^ +(-[a-z], )?--[a-z]+' | grep -oE '[a-z]{2,}'); do
            [ "$option" = help ] || grep -qF "\\-\\-$option" page
        done
    done
}

@test "the completion is bash and offers a command's options" {
    bash -n "$project/docs/bitplan.bash"
    PATH=$(dirname "$BITPLAN"):$PATH
    # shellcheck source=/dev/null
    . "$project/docs/bitplan.bash"
    COMP_WORDS=(bitplan solve --bi) COMP_CWORD=2
    _bitplan
    [ "${COMPREPLY[*]}" = --bits ]
    COMP_WORDS=(bitplan me) COMP_CWORD=1
    _bitplan
    [ "${COMPREPLY[*]}" = measure ]
}
