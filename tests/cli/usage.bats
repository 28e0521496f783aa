#!/usr/bin/env bats
# The command line itself: help, wrong usage, output that cannot be written.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

setup_file() {
    make_table
}

readonly commands='workbench measure merge solve sweep decompose unpack verify info sample'

# --- help ---

@test "no arguments: the shipped session, or a sentence that says what to name" {
    works
    says Llama-2-7b "2.75 bits/param"
    BITPLAN_SESSIONS=$PWD/nowhere refuses 4 nowhere/llama-2-7b.json
    cp "$BITPLAN" ./alone
    BITPLAN=$PWD/alone refuses 2 "the shipped session is not installed"
}

@test "--help, -h and help print the help that names every command" {
    local word command
    for word in --help -h help; do
        works "$word"
        for command in $commands; do
            says "  $command "
        done
    done
}

@test "--version prints one line" {
    works --version
    [[ $output =~ ^bitplan\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || show_last
}

@test "COMMAND --help prints usage and every option, and works with other arguments there" {
    local command
    for command in $commands; do
        works "$command" --help
        says "usage: bitplan $command " "--help"
        works "$command" -h
        works "$command" one --help
    done
}

@test "COMMAND --help lists each option that the command takes" {
    works measure --help
    says "-o, --output FILE" --grid --rank --iterations --fisher --include --exclude --threads --seed \
        --shard --progress "-f, --force" --json
    works merge --help
    says "-o, --output FILE" "-f, --force" --json
    works solve --help
    says --bits --size --total --context --batch --grid --tie --weight --solver --partial --stability \
        --output --force --json
    works sweep --help
    says --from --to --step --points --svg --partial --grid --tie --weight --output --json
    works verify --help
    says --table --model --output --json
    works decompose --help
    says --output --emit --low-rank-bits --fisher --table --include --exclude --threads --progress --force \
        --json
    works unpack --help
    says --output --threads --progress --force
    works info --help
    says --include --exclude --lint --json
    works sample --help
    says --shapes --layers --hidden --seed --force
}

@test "every option in a command's help is one that the command takes" {
    local command option options
    for command in $commands; do
        works "$command" --help
        options=$(sed -nE 's/^ +(-., )?(--[a-z-]+).*/\2/p' <<<"$output")
        for option in $options; do
            attempt "$BITPLAN" "$command" "$option"
            [[ $stderr != *"has no option"* ]] || show_last
        done
    done
}

# --- wrong usage: status 2, one line ---

@test "an unknown command is named" {
    refuses 2 "no command and no file 'slove'" slove
}

@test "an unknown option is named, and an option of another command is unknown" {
    refuses 2 "has no option '--nope'" solve "$table" --nope
    refuses 2 "has no option '--bit'" solve "$table" --bit 3
    refuses 2 "has no option '-x'" solve "$table" -x
    refuses 2 "has no option '-fx'" solve "$table" -fx
    refuses 2 "has no option '--bits=3'" measure "$model" --bits=3
    refuses 2 "has no option '--hidden'" solve --hidden 64
}

@test "a missing operand shows the usage" {
    local command
    for command in ${commands#workbench }; do
        refuses 2 "usage: bitplan $command" "$command"
    done
}

@test "an operand too many is named" {
    refuses 2 "one argument too many: 'b'" solve a b
    refuses 2 "one argument too many: '--bits'" solve -- a --bits
}

@test "a missing value and a value that none wants" {
    refuses 2 "--bits needs a value" solve "$table" --bits
    refuses 2 "--output needs a value" solve "$table" --bits 3 -o
    refuses 2 "--json takes no value" solve "$table" --bits 3 --json=yes
}

@test "numbers that are none" {
    local bad
    for bad in abc '' -1 +3 0 0.0 65 1e1 0x3 '2,75,' 2.5x ' 3' nan inf 99999999999999999999; do
        refuses 2 "budget in bits/param" solve "$table" --bits "$bad"
    done
    for bad in abc '' -1 0 0.4 1XB 1kib 3GiBs 3000000TB GiB; do
        refuses 2 "is no size" solve "$table" --size "$bad"
    done
    for bad in abc '' -1 65 1e-9 0.1234567; do
        refuses 2 "bits/param" sweep "$table" --from "$bad"
    done
    for bad in abc '' -1 1.5 ' 1' 0x1 99999999999999999999; do
        refuses 2 "is no whole number" measure "$model" -o t --seed "$bad"
        refuses 2 "is no whole number" measure "$model" -o t --rank "$bad"
    done
    for bad in 0 abc 1025; do
        refuses 2 "--threads" measure "$model" -o t --threads "$bad"
    done
    for bad in 0 101 x; do
        refuses 2 "--iterations" measure "$model" -o t --iterations "$bad"
    done
    for bad in 1 / 1/ /1 0/1 2/1 a/b 1/2/3 1/99999; do
        refuses 2 "--shard" measure "$model" -o t --shard "$bad"
    done
    holds .
}

@test "words that are none: solver, effort, progress, rank given twice" {
    refuses 2 "neither mckp nor glpk" solve "$table" --bits 3 --solver gurobi
    refuses 2 "--effort" measure "$model" -o t --effort heroic
    refuses 2 "--progress" measure "$model" -o t --progress bar
    refuses 2 "given twice" measure "$model" -o t --rank 4,4
}

@test "a command that needs an output or a budget says so" {
    refuses 2 "needs -o" measure "$model"
    refuses 2 "needs a budget" solve "$table"
}

@test "both spellings of a value, repeated options: the last one counts" {
    works solve "$table" --bits=2.5 --json --solver glpk --solver mckp
    json '.budget.asked == 2.5 and .certificate.method == "mckp"'
    works solve "$table" --bits 2.5 -oone.json
    works solve "$table" --bits 2.5 -o two.json
    cmp one.json two.json
}

@test "behind -- a name may begin with a dash" {
    cp "$table" ./-t
    works solve --bits 2.5 -- -t
    works info -- -t
}

@test "control characters in a name leave the error one line" {
    refuses 2 "no command and no file 'a?b'" $'a\nb'
    refuses 4 "no?such?[31mfile" info $'no\nsuch\e[31mfile'
    refuses 2 "has no option '--x?y'" solve $'--x\ny'
}

# --- output that does not arrive ---

@test "a full standard output is a failure of every command that prints" {
    [[ -c /dev/full ]] || skip "no /dev/full"
    "$BITPLAN" solve "$table" --bits 2.5 -o plan.json >/dev/null
    local arguments
    while read -r -a arguments; do
            attempt sh -c '"$@" >/dev/full' sh "$BITPLAN" "${arguments[@]}"
        is_refusal 1 "standard output"
    done <<END
--help
--version
solve --help
info $model
info $model --json
info $table
info $table --json
info $table --lint
info plan.json
solve $table --bits 2.5
solve $table --bits 2.5 --json
solve $table --bits 2.25,2.5,3
solve $table --bits 2.5 --stability 5
sweep $table
sweep $table --json
sweep $table --svg
verify plan.json
verify plan.json --json
measure $model -o t.safetensors ${quick[*]}
measure $model -o t.safetensors ${quick[*]} --json
sample m --layers 1 --hidden 64
END
}

@test "a reader that goes away early ends nothing by a signal" {
    "$BITPLAN" sweep "$table" --step 0.001 2>err | head -c 1 >/dev/null
    [[ ${PIPESTATUS[0]} -le 1 ]]
}

@test "closed standard streams: no file takes their place" {
    "$BITPLAN" measure "$model" -o t.safetensors "${quick[@]}" --progress json >&- 2>&-
    cmp t.safetensors "$table"
    "$BITPLAN" solve "$table" --bits 2.5 -o one.json >&- 2>&- <&-
    "$BITPLAN" solve "$table" --bits 2.5 -o two.json >/dev/null
    cmp one.json two.json
}
