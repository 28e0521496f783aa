#!/usr/bin/env bats
# The pictures of README and docs, and what an installation brings.
# shellcheck disable=SC2154,SC2016 # variables of helpers.bash; dollars of jq

load helpers

: "${FRAME_SVG:=$project/build/release/tests/tui/frame_svg}"
export FRAME_SVG

@test "the pictures in docs are what the workbench paints now (make pictures makes them anew)" {
    [ -x "$FRAME_SVG" ] || skip "no $FRAME_SVG: make pictures builds it"
    bash "$project/tests/tui/pictures.sh" "$PWD/pictures"
    diff -r "$project/docs/pictures" pictures
}

@test "README and docs show every picture, and none that is not there" {
    shown=$(grep -ohE 'pictures/[a-z]+\.svg' "$project"/README.md "$project"/docs/*.md | sort -u)
    have=$(cd "$project/docs" && printf '%s\n' pictures/*.svg | sort)
    [ "$shown" = "$have" ]
}

@test "a frame drawn: one rectangle a heat cell, text where it stands, what is special escaped" {
    [ -x "$FRAME_SVG" ] || skip "no $FRAME_SVG: make pictures builds it"
    printf '%s\n' 'size 4x1' '|<é█⣿|' '' '|.aqC|' '' 'reversed 0,0+1' >frame
    "$FRAME_SVG" 'a & b' <frame >picture.svg
    python3 - <<'PY'
import xml.etree.ElementTree as E
ns = "{http://www.w3.org/2000/svg}"
root = E.parse("picture.svg").getroot()
assert root.find(ns + "title").text == "a & b"
assert [t.text for t in root.iter(ns + "text")] == ["<", "é"]
back = [r.get("fill") for r in root.iter(ns + "rect")][1:]
assert back == ["#d8dee4", "#00224e", "#0072b2"], back
assert [p.get("d").count("M") for p in root.iter(ns + "path")] == [8]
PY
    for broken in '' 'size 4x1' $'size 2x1\n|a|\n\n|..|' $'size 2x1\n|ab|\n\n|.z|' $'size 2x1\n|ab|\n\n|.|'; do
        printf '%s\n' "$broken" >frame
        attempt "$FRAME_SVG" x <frame
        [[ $status -eq 1 && $stderr == 'frame_svg: '* ]] || show_last
    done
}

@test "make install brings program, manual, completion and sessions; uninstall takes them away" {
    [ "$BITPLAN" = "$project/build/bitplan" ] || skip "installs the release build only"
    root=$PWD/root
    make -s -C "$project" install DESTDIR="$root" PREFIX=/usr >/dev/null
    installed=$root/usr/share/bitplan/sessions
    "$root/usr/bin/bitplan" info "$installed/story-656k.json" >/dev/null
    grep -q '^.TH BITPLAN' "$root/usr/share/man/man1/bitplan.1"
    bash -n "$root/usr/share/bash-completion/completions/bitplan"
    # Without a file it opens the session that came with it, from anywhere.
    attempt "$root/usr/bin/bitplan" --json
    json --arg path "$installed/llama-2-7b.safetensors" '.table.path == $path'
    BITPLAN_SESSIONS=$project/sessions attempt "$root/usr/bin/bitplan" --json
    json --arg path "$project/sessions/llama-2-7b.safetensors" '.table.path == $path'
    BITPLAN_SESSIONS=$PWD attempt "$root/usr/bin/bitplan"
    is_refusal 4 "$PWD/llama-2-7b.json"
    touch "$installed/mine.json"
    make -s -C "$project" uninstall DESTDIR="$root" PREFIX=/usr
    [ "$(cd "$root" && find . -type f)" = ./usr/share/bitplan/sessions/mine.json ]
}
