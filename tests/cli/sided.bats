#!/usr/bin/env bats
# bitplan solve under conditions beside the budget: --max-configs, --limit, and --objective; their
# limits, progress and verification.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

llama=$project/sessions/llama-2-7b.safetensors # 224 matrices x 243 candidates

@test "--max-configs 4 on 224 x 243: at most 4 configs, and the gap is stated" {
    works solve "$llama" --bits 2.75 --max-configs 4 --time-limit 5 --progress none -o p.json --json
    json '([.matrices[].label] | unique | length) <= 4'
    json '.totals.storage_bits <= .budget.bits'
    json '.certificate | .method == "sided" and .lower_bound > 0 and (.status == "optimal" or
        .status == "bounded") and .gap >= 0 and .gap < 0.05'
    json '.constraints == [{"option": "--max-configs", "value": "4"}]'
    works verify p.json
}

@test "more configs never cost more, and as many as there are cost as much as without a bound" {
    local k error before=
    for k in 1 2 3 8 243; do
        works solve "$llama" --bits 3 --max-configs $k --time-limit 20 --progress none --json
        error=$(jq .totals.error <<<"$output")
        json --argjson k $k '([.matrices[].label] | unique | length) <= $k'
        [ -z "$before" ] || json --argjson before "$before" '.totals.error <= $before'
        before=$error
    done
    works solve "$llama" --bits 3 --json
    json --argjson before "$before" '.totals.error == $before'
}

@test "--limit: a model split over two cards" {
    works solve "$llama" --bits 3 --limit 'layers\.([0-9]|1[0-5])\.=1.05GiB' \
        --limit 'layers\.(1[6-9]|2.|3.)\.=1.1GiB' --progress none -o p.json --json
    json '[.matrices[] | select(.name | test("layers\\.([0-9]|1[0-5])\\.")) | .storage_bits] | add
        <= 1.05 * 1024 * 1024 * 1024 * 8'
    json '[.matrices[] | select(.name | test("layers\\.(1[6-9]|2.|3.)\\.")) | .storage_bits] | add
        <= 1.1 * 1024 * 1024 * 1024 * 8'
    json '.certificate.status == "optimal" and .certificate.gap < 1e-5'
    works verify p.json
    jq '.constraints[0].value = "layers\\.([0-9]|1[0-5])\\.=1.0GiB"' p.json >bad.json
    refuses 1 "--limit 'layers" verify bad.json
    refuses 3 "--limit 'q_proj=20MB' is too small: its matrices take at least" \
        solve "$llama" --bits 3 --limit q_proj=20MB
}

@test "a plan that takes more configs than it says is no plan" {
    works solve "$llama" --bits 2.75 --max-configs 3 --progress none -o p.json
    jq '.constraints[0].value = "2"' p.json >bad.json
    refuses 1 "--max-configs is not met: they take 3 distinct configs, not at most 2" verify bad.json
    jq '.certificate.method = "mckp"' p.json >bad.json
    refuses 1 "certificate.method" verify bad.json
    jq '.certificate.lower_bound = .totals.error * 1.01' p.json >bad.json
    refuses 1 "certificate" verify bad.json
}

@test "--objective relative is another plan, and states its objective" {
    works solve "$llama" --bits 2.75 --json
    local sum
    sum=$(jq .totals.error <<<"$output")
    json '.totals | has("objective") | not'
    works solve "$llama" --bits 2.75 --objective relative -o p.json --json
    json --argjson sum "$sum" '.totals.error > $sum and .certificate.status == "optimal"'
    json '([.matrices[].relative_error] | add) as $r | ($r / .totals.objective - 1 | fabs) < 1e-12'
    works verify p.json
    jq '.totals.objective *= 0.99' p.json >bad.json
    refuses 1 "totals.objective" verify bad.json
    refuses 2 "--objective: 'most' is neither sum nor relative" solve "$llama" --bits 3 \
        --objective most
    works solve "$llama" --bits 2.75 --objective sum --json
    json --argjson sum "$sum" '.totals.error == $sum'
}

# Both conditions at once keep the search busy for a while.
hard=(--bits 2.75 --max-configs 3 --limit layers.1=600MiB)

@test "--time-limit ends the search with the best plan so far" {
    local begin=$SECONDS
    works solve "$llama" "${hard[@]}" --time-limit 1 --progress none --json
    [ $((SECONDS - begin)) -le 4 ]
    json '.certificate.gap < 0.05 and .totals.storage_bits <= .budget.bits'
    refuses 2 "--time-limit: 'soon' is no number of seconds" solve "$llama" "${hard[@]}" \
        --time-limit soon
    refuses 2 "give one of them" solve "$llama" --bits 3 --time-limit 5
}

@test "an interrupt ends the search with the best plan so far, status 0" {
    "$BITPLAN" solve "$llama" "${hard[@]}" --progress none -o p.json >out.txt 2>err.txt &
    local pid=$! begin
    sleep 1
    begin=$SECONDS
    kill -INT $pid 2>/dev/null || true
    wait $pid
    [ $((SECONDS - begin)) -le 2 ]
    jq -e '.certificate.gap >= 0' p.json
    grep -E "above the optimum|optimal" out.txt
}

@test "progress: incumbent, bound and gap, which go one way" {
    attempt "$BITPLAN" solve "$llama" "${hard[@]}" --time-limit 3 --progress json -o p.json
    [ "$status" = 0 ] || show_last
    jq -es 'all(.unit == "objective" and .bound <= .incumbent and .gap >= 0)
        and ([.[].incumbent] | . == (sort | reverse)) and ([.[].bound] | . == sort)' \
        <<<"$stderr"
}

@test "contradictions name the constraints that bear on it, and what would do" {
    refuses 3 "--floor 'q_proj=4.5' leaves none: the largest that it could have has 4.3750 bits/param" \
        solve "$llama" --bits 3 --floor q_proj=4.5
    works solve "$llama" --bits 3 --floor q_proj=4.3750
    refuses 3 "; without --grid 'b0=3,4' it would be 2.032227 bits/param" \
        solve "$llama" --bits 2.5 --grid b0=3,4
}
