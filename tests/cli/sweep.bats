#!/usr/bin/env bats
# bitplan sweep: the least error at many budgets.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

setup_file() {
    make_table
}

readonly columns=asked_bits_per_param,storage_bits,bits_per_param,effective_bits_per_param,error,relative_error,lower_bound,status,synthetic,shadow_price,knee

@test "CSV: a header, a line a budget, budgets kept, errors that only fall" {
    works sweep "$table" --from 2.1 --to 3.1 --step 0.05
    awk -F, -v columns="$columns" '
        NR == 1 { if ($0 != columns) exit 1; next }
        NF != 11 || $9 != "true" || $3 > $1 || (NR > 2 && $5 > error) || $8 != "optimal" || $7 > $5 { exit 1 }
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

@test "--points: evenly spaced budgets from the least to the most" {
    works sweep "$table" --points 21 --json
    local list=$output
    json 'length == 21 and (.[0].asked * 1e6 | round) == 2065918'
    json '[range(1; 20) as $i | (.[$i + 1].asked - 2 * .[$i].asked + .[$i - 1].asked) | fabs] | max < 2.1e-6'
    works sweep "$table" --points 2 --json
    json --argjson all "$list" '. == [$all[0], $all[20]] or (.[0].error == $all[0].error and .[1].error == $all[20].error)'
    works sweep "$table" --points 3 --from 2.5 --to 3 --json
    json 'map(.asked) == [2.5, 2.75, 3]'
    refuses 2 "give one of them" sweep "$table" --points 5 --step 0.1
    refuses 2 "--points" sweep "$table" --points 1
    refuses 2 "--points" sweep "$table" --points 100001
}

@test "the shadow price falls, is a price per MiB, and is 0 where nothing improves" {
    works sweep "$table" --points 101 --json
    json '[range(100) as $i | .[$i + 1].shadow_price <= .[$i].shadow_price * (1 + 1e-9)] | all'
    json 'last.shadow_price == 0 and all(.[]; .knee >= 0 and .knee <= 3)'
    # What is saved per MiB between two budgets lies between the prices there.
    works sweep "$project/sessions/llama-2-7b.safetensors" --points 101 --json
    json '((.[20].error - .[60].error) / ((.[60].storage_bits - .[20].storage_bits) / 8388608)) as $price
        | $price <= .[19].shadow_price * 1.0001 and $price >= .[61].shadow_price'
}

@test "a knee stands where the bits of a codebook do, however many points" {
    local t=$project/sessions/llama-2-7b.safetensors n
    for n in 20 60 300; do
        works sweep "$t" --points "$n" --json
        json '[.[] | select(.knee > 0) | .asked] | length == 1 and .[0] > 3.08 and .[0] < 3.16'
    done
}

@test "SVG: well-formed, the same every time, nothing from outside, names escaped" {
    works sweep "$table" --points 12 -o a.svg
    works sweep "$table" --points 12 --svg
    diff a.svg <(echo "$output")
    refuses 2 "give one of them" sweep "$table" --svg --json
    grep -q '<svg xmlns="http://www.w3.org/2000/svg"' a.svg
    [ "$(grep -c 'http\|href\|url(\|@import' a.svg)" = 1 ] # the name space
    grep -q '>NF3</text>' a.svg || grep -q 'class="qlora"' a.svg
    [ "$(grep -c 'class="optimal"' a.svg)" = 12 ]
    need_python
    cp "$table" t.safetensors
    edit_header t.safetensors '.__metadata__.model |= (fromjson |
        .name = "<b>&\"x\u0027\u0001\uffff]]>" | tojson)'
    works sweep t.safetensors -o b.svg
    works sweep t.safetensors --from 2.5 --to 2.5 -o c.svg
    grep -qF '&lt;b&gt;&amp;&quot;x&#39;' b.svg
    for f in a.svg b.svg c.svg; do
        python3 -c 'import sys, xml.etree.ElementTree as e; e.parse(sys.argv[1])' "$f"
        ! command -v xmllint >/dev/null || xmllint --noout "$f"
    done
    works sweep "$table" --json -o j.svg
    jq -e 'length > 0' j.svg >/dev/null
}
