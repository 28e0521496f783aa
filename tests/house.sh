#!/usr/bin/env bash
# The rules of the house, read from the sources: who may include whom, which library lives where,
# how long a file may be. Speaks TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
n=0 failed=0

# check NAME OFFENDERS: passes when there are none.
check() {
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
        failed=1
    fi
}

# includes DIR PATTERN: lines of sources under DIR that include something matching PATTERN.
includes() {
    grep -rnE "#include *[<\"](\.\./)*$2" "$1" --include='*.[ch]' --include='*.cu' \
        --include='*.cc' 2>/dev/null
}

sources=$(find src kernels -name '*.[ch]' -o -name '*.cu' -o -name '*.cc')

check 'the solver includes only itself' \
    "$(includes src/solver '(engine|cli|ui)/')"
check 'the engine includes neither cli nor ui' \
    "$(includes src/engine '(cli|ui)/')"
check 'cli does not include ui, ui does not include cli' \
    "$(includes src/cli 'ui/'; includes src/ui 'cli/')"
check 'main includes only cli and ui' \
    "$(grep -nE '#include *"' src/main.c | grep -vE '"(cli|ui)/')"
check 'curses is included in src/ui/term_curses.c only' \
    "$(includes src '(ncursesw?/)?n?curses\.h' | grep -v '^src/ui/term_curses\.c:')"
check 'GLPK is included in src/solver/glpk.c only' \
    "$(includes src 'glpk\.h>' | grep -v '^src/solver/glpk\.c:')"
check 'cJSON is included only where JSON is read or written' \
    "$(includes src 'cjson/' | grep -vE '^src/engine/json_(read|write)\.c:')"
check 'LAPACKE and CBLAS are included only by the linear algebra' \
    "$(includes src '(lapacke|cblas)\.h' | grep -vE '^src/engine/(svd|dense)\.c:')"
check 'CUDA is included in kernels/gpu_compat.h only' \
    "$(includes src '(cuda|cublas|cusolver)'
       includes kernels '(cuda|cublas|cusolver)' | grep -v '^kernels/gpu_compat\.h:')"
check 'kernels/ is reached through its plain C table, by its loader only' \
    "$(includes src 'kernels/' | grep -vE '^src/engine/backend_cuda(_run)?\.c:.*"kernels/bp_cuda\.h"')"
check 'kernels/ includes nothing of src/' \
    "$(includes kernels '(src|engine|solver|cli|ui)/')"
check 'the emulation is reached through kernels/gpu_compat.h only' \
    "$(includes kernels 'emu/' | grep -vE '^kernels/(gpu_compat\.h|emu/)')"
check 'kernels are static' \
    "$(grep -rnE '__global__' kernels --include='*.cu' | grep -v 'static __global__')"
check 'code is loaded at run time in src/engine/backend_cuda.c only' \
    "$(includes src 'dlfcn\.h' | grep -v '^src/engine/backend_cuda\.c:')"
check 'nothing below the command line exits, aborts or prints to the terminal' \
    "$(grep -nE '\b(exit|abort|printf|puts|putchar|perror)\(|fprintf\((stdout|stderr)' \
        $(find src/engine src/solver -name '*.c'))"
check 'every source includes its own header first' \
    "$(for c in $(find src -name '*.c' ! -name main.c); do
        h=${c%.c}.h
        [ -f "$h" ] || continue
        [ "$(grep -m1 '#include' "$c")" = "#include \"${h#src/}\"" ] || echo "$c"
    done)"
check 'file names are unique in the tree' \
    "$(for f in $sources; do basename "$f"; done | sort | uniq -d)"
check 'no file is longer than 900 lines' \
    "$(for f in $sources; do
        l=$(wc -l <"$f")
        [ "$l" -le 900 ] || echo "$f: $l"
    done)"
check 'no function is longer than 120 lines' \
    "$(for f in $sources; do
        awk -v f="$f" '/^{/{s=NR} /^}/{if (s && NR-s > 120) print f ":" s; s=0}' "$f"
    done)"
echo "1..$n"
exit $failed
