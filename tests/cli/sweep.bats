#!/usr/bin/env bats
# bitplan sweep: the least error at many budgets.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

setup_file() {
    make_table
}

readonly columns=asked_bits_per_param,storage_bits,bits_per_param,effective_bits_per_param,error,relative_error,lower_bound,status,synthetic

@test "CSV: a header, a line a budget, budgets kept, errors that only fall" {
    works sweep "$table" --from 2.1 --to 3.1 --step 0.05
    awk -F, -v columns="$columns" '
        NR == 1 { if ($0 != columns) exit 1; next }
        NF != 9 || $9 != "true" || $3 > $1 || (NR > 2 && $5 > error) || $8 != "optimal" || $7 > $5 { exit 1 }
        { error = $5 }
        END { if (NR != 22) exit 1 }' <<<"$output" || show_last
}

@test "budgets are the decimals that were typed" {
    works sweep "$table" --from 2.1 --to 3 --step 0.1 --json
    json '[.[].asked] == [2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 3]'
}

@test "JSON and CSV hold the same figures, and solve agrees" {
    works sweep "$table" --from 2.25 --to 3 --step 0.25 --json
    json 'all(.status == "optimal" and .bits_per_param <= .asked)'
    local list=$output
    works sweep "$table" --from 2.25 --to 3 --step 0.25
    [[ $(jq -r '.[] | [.asked, .storage_bits, .error, .status] | @csv' <<<"$list" | tr -d '"') == \
        "$(tail -n +2 <<<"$output" | cut -d, -f1,2,5,8)" ]] || show_last
    works solve "$table" --bits 2.25,2.5,2.75,3 --json
    json --argjson list "$list" '[.[].totals.error] == [$list[].error]'
}

@test "without a range: from the least possible budget to where nothing improves" {
    works sweep "$table" --step 0.01 --json
    json '(.[0].asked * 1e6 | round) == 2065918 and last.status == "optimal" and length > 90'
    works sweep "$table" --from 4 --json
    json 'length == 1 and .[0].asked == 4 and .[0].bits_per_param < 3.1'
}

@test "a range of one budget" {
    works sweep "$table" --from 2.5 --to 2.5 --json
    json 'length == 1'
}

@test "--grid narrows it" {
    works sweep "$table" --grid b0=2 --json
    json 'length == 1'
    refuses 3 "none of its 2 candidates" sweep "$table" --grid b0=8
}

@test "wrong ranges: status 2; a budget below the least: status 3, nothing printed" {
    refuses 2 "--from" sweep "$table" --from 3 --to 2
    refuses 2 "--step" sweep "$table" --step 0
    refuses 2 "--step" sweep "$table" --from 0.000001 --to 64 --step 0.000001
    refuses 3 "below the least possible" sweep "$table" --from 1 --to 3
    refuses 3 "below the least possible" sweep "$table" --from 1 --to 3 --json -o f.json
    holds .
}

@test "-o writes the same and keeps what exists unless --force" {
    works sweep "$table" -o f.csv
    [[ -z $output ]]
    diff f.csv <("$BITPLAN" sweep "$table")
    refuses 1 "f.csv: exists already" sweep "$table" --step 0.5 -o f.csv
    works sweep "$table" --step 0.5 -o f.csv --force
    diff f.csv <("$BITPLAN" sweep "$table" --step 0.5)
    works sweep "$table" --json -o f.json
    diff f.json <("$BITPLAN" sweep "$table" --json)
    holds . f.csv f.json
}
