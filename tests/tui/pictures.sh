#!/usr/bin/env bash
# Makes the pictures of README and docs from the shipped session, in script mode.
#
#   tests/tui/pictures.sh FOLDER
#
# BITPLAN is the program, FRAME_SVG the one that draws a frame.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${BITPLAN:=build/bitplan}" "${FRAME_SVG:=build/release/tests/tui/frame_svg}"
out=$1
mkdir -p "$out"

# picture NAME SIZE TITLE KEYS
picture() {
    "$BITPLAN" sessions/llama-2-7b.safetensors --size "$2" --script "$4" |
        "$FRAME_SVG" "$3" >"$out/$1.svg"
}

# A plan is kept at 3 bits; at 2.75 v_proj of layer 12 is pinned to the config that it has, and the
# cursor goes on to down_proj of layer 20.
keep='3 Enter b C-u "bookmark roomy" Enter "2.75" Enter a'
picture workbench 120x36 'bitplan: the budget, the plan matrix by matrix, the frontier' \
    "$keep j j 1 2 l p j j j j 8 l"
picture compare 120x36 'bitplan: the plan compared with one that was kept' "$keep C j j j j j j"
picture memory 120x36 'bitplan: memory to run and to finetune, on a card' "$keep m"
picture narrow 80x24 'bitplan in 80 x 24' "$keep j j 1 2 l p"
