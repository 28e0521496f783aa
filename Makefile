# bitplan: one Makefile, no configure.
#
#   make            build/bitplan
#   make run        the workbench on a shipped session
#   make test       everything that CI runs
#   make help       all targets
#
# V=1 shows the commands; CC, CFLAGS, LDFLAGS, PREFIX and DESTDIR are honoured.

PREFIX  ?= /usr/local
DESTDIR ?=
V       ?= 0
VARIANT ?= release

# CC is make's own default unless somebody chose one.
ifeq ($(origin CC),default)
CC := $(if $(filter clang%,$(VARIANT)),clang,gcc)
endif

CFLAGS_release := -O3
CFLAGS_clang   := -O2
CFLAGS_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -fsanitize=thread

# No contraction into fused multiply-adds and no fast-math: the same source gives the same bits
# whatever the compiler, which "equal for any split and any restart" rests on.
BP_CPPFLAGS := -Isrc -I. -D_GNU_SOURCE $(CPPFLAGS)
BP_CFLAGS   := -std=c17 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
               -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 -ffp-contract=off \
               -fno-math-errno -fno-common $(if $(WERROR),-Werror) $(CFLAGS_$(VARIANT)) $(CFLAGS)
BP_LDFLAGS  := $(filter -fsanitize=%,$(CFLAGS_$(VARIANT))) $(LDFLAGS)
BP_LIBS     := -llapacke -lopenblas -lglpk -lcjson -lxxhash -lncursesw -ltinfo -lpthread -lm

# Debian packages: what the program links, and what its tests use.
DEPS := gcc g++ libc6-dev libopenblas-dev liblapacke-dev libglpk-dev libcjson-dev libxxhash-dev \
        libncurses-dev ncurses-term libvterm-dev libcmocka-dev bats procps jq openmpi-bin \
        python3-numpy python3-jsonschema

B    := build/$(VARIANT)
BIN  := $(if $(filter release,$(VARIANT)),build/bitplan,$(B)/bitplan)
SRCS := $(sort $(wildcard src/*/*.c))
OBJS := $(SRCS:%.c=$(B)/%.o)
LIB  := $(B)/libbitplan.a
TEST_SRCS := $(sort $(wildcard tests/unit/test_*.c tests/golden/test_*.c))
TESTS     := $(TEST_SRCS:%.c=$(B)/%)
TUI_TESTS := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/tui/test_*.c)))
FRAME_SVG := $(B)/tests/tui/frame_svg
REPLAY    := $(patsubst tests/fuzz/fuzz_%.c,$(B)/tests/fuzz/replay_%,\
               $(sort $(wildcard tests/fuzz/fuzz_*.c)))
FAULTS    := $(B)/tests/faults/$(if $(filter %san,$(VARIANT)),bitplan,shim.so)
GPU_TESTS := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/gpu/test_*.c)))
BENCHES   := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/bench/bench_*.c)))

ifeq ($(V),0)
Q := @
say = @printf '  %-6s %s\n' '$(1)' '$(2)'
endif

.PHONY: all
all: $(BIN) cuda

$(B)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BP_CPPFLAGS) $(BP_CFLAGS) -MMD -MP -c $< -o $@

$(LIB): $(OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BIN): $(B)/src/main.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ $(BP_LIBS)

$(TESTS): %: %.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ -lcmocka $(BP_LIBS)

# Programs on a terminal of the tests' own; the demonstration lies beside them.
$(TUI_TESTS): %: %.o $(B)/tests/tui/vt.o $(LIB) | $(B)/tests/tui/term_demo
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ -lcmocka -lvterm -lutil $(BP_LIBS)

$(B)/tests/tui/term_demo $(FRAME_SVG): %: %.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ $(BP_LIBS)

$(REPLAY): $(B)/tests/fuzz/replay_%: $(B)/tests/fuzz/replay.o $(B)/tests/fuzz/fuzz_%.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ $(BP_LIBS)

$(BENCHES): %: %.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ $(BENCH_LIBS) $(BP_LIBS)
# The one that runs the program on a terminal.
$(B)/tests/bench/bench_keys: BENCH_LIBS := -lcmocka -lvterm -lutil
$(B)/tests/bench/bench_keys: $(B)/tests/tui/vt.o | $(BIN)

# Fault injection: a library to preload, or, as a sanitizer wants its own allocator first, a program
# whose calls go through it.
FAULTS_CC = $(CC) $(BP_CPPFLAGS) $(BP_CFLAGS) $(BP_LDFLAGS)
FAULTS_WRAP = $(shell sed -n 's/^HOOK[^,]*, \([A-Za-z0-9_]*\).*/-Wl,--wrap=\1/p' tests/faults/shim.c)
$(B)/tests/faults/shim.so: tests/faults/shim.c
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(FAULTS_CC) -shared -fPIC $< -o $@ -ldl

$(B)/tests/faults/bitplan: tests/faults/shim.c $(B)/src/main.o $(LIB)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(FAULTS_CC) -DFAULTS_WRAP $(FAULTS_WRAP) $^ -o $@ $(BP_LIBS)

# --- the CUDA backend -------------------------------------------------------------------------

# kernels/ is built twice: by nvcc, where there is one, into the shared object that the program opens
# on a machine with a device; and by a C++ compiler into one that runs the same kernels on the CPU,
# for tests. The program itself needs neither.
NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard $(CUDA_HOME)/bin/nvcc \
            /usr/local/cuda/bin/nvcc))
CUDA_SO    := build/libbitplan_cuda.so
CUDA_SRCS  := $(sort $(wildcard kernels/*.cu))
CUDA_OBJS  := $(CUDA_SRCS:%.cu=build/cuda/%.o)
# No contraction into fused multiply-adds here either: codes are those of src/engine/quantize.c.
CUDA_FLAGS := -std=c++17 -O3 -fmad=false -gencode=arch=compute_80,code=sm_80 \
              -gencode=arch=compute_90,code=sm_90 -gencode=arch=compute_90,code=compute_90 \
              -Werror all-warnings -Xptxas -warn-spills -Ikernels \
              -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra,-Werror
CUDA_LIBS   = -Xlinker --exclude-libs=ALL,-rpath=$(abspath $(dir $(NVCC))/../lib64) -cudart static \
              -lcublas -lcusolver

.PHONY: cuda
ifeq ($(NVCC),)
cuda:
	@echo 'cuda: nvcc not found, CPU only'
else
cuda: build/cuda/probe
	@if [ -s $< ]; then sed 's/^/cuda: /' $<; else $(MAKE) --no-print-directory $(CUDA_SO); fi

# Empty when nvcc has the libraries, else one line.
build/cuda/probe: $(NVCC)
	@mkdir -p $(@D)
	@if printf '#include <cublas_v2.h>\n#include <cusolverDn.h>\n' >$@.cu && \
	    $(NVCC) -E $@.cu >/dev/null 2>&1; then : >$@; \
	else echo '$(NVCC) lacks cuBLAS or cuSOLVER, CPU only' >$@; fi

build/cuda/%.o: %.cu $(wildcard kernels/*.h)
	$(call say,NVCC,$<)
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(CUDA_FLAGS) -c $< -o $@

$(CUDA_SO): $(CUDA_OBJS)
	$(call say,LINK,$@)
	$(Q)$(NVCC) -shared $^ -o $@ $(CUDA_LIBS)
endif

EMU_SO    := $(B)/libbitplan_cuemu.so
EMU_OBJS  := $(CUDA_SRCS:%.cu=$(B)/%.emu.o) $(B)/kernels/emu/cuemu.emu.o
EMU_FLAGS := -std=c++17 -g -O2 -Wall -Wextra -Wshadow -Wno-unknown-pragmas -ffp-contract=off -fPIC \
             -fvisibility=hidden -fno-exceptions -fno-rtti -Ikernels $(if $(WERROR),-Werror) \
             $(CFLAGS_$(VARIANT)) $(CXXFLAGS) $(if $(filter tsan,$(VARIANT)),-DBP_GPU_THREADS=128)
EMU_CXX   := $(if $(filter clang%,$(CC)),clang++,$(CXX))

$(B)/%.emu.o: %.cu
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(EMU_CXX) $(EMU_FLAGS) -MMD -MP -x c++ -c $< -o $@

$(B)/%.emu.o: %.cc
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(EMU_CXX) $(EMU_FLAGS) -MMD -MP -c $< -o $@

# Linked as C: nothing of the C++ library is used.
$(EMU_SO): $(EMU_OBJS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) -shared $^ -o $@ -llapacke -lopenblas -lm

# What stands in for a driver, and objects that are not what the program looks for.
GPU_FAKES := $(addprefix $(B)/tests/gpu/,libcuda.so.1 fake_other.so fake_lacking.so)
FAKE_CC = $(CC) $(BP_CPPFLAGS) $(BP_CFLAGS) $(BP_LDFLAGS) -shared -fPIC
$(B)/tests/gpu/libcuda.so.1: tests/gpu/fake_driver.c
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(FAKE_CC) $< -o $@ -Wl,-soname,libcuda.so.1
$(B)/tests/gpu/fake_other.so: tests/gpu/fake_object.c kernels/bp_cuda.h
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(FAKE_CC) $< -o $@
# It needs a library that is gone once it is linked.
$(B)/tests/gpu/fake_lacking.so: tests/gpu/fake_object.c kernels/bp_cuda.h
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(FAKE_CC) $< -o $(@D)/libbp_no_such.so.1 -Wl,-soname,libbp_no_such.so.1
	$(Q)$(FAKE_CC) $< -o $@ -Wl,--no-as-needed $(@D)/libbp_no_such.so.1
	@rm $(@D)/libbp_no_such.so.1

# Kernels with mistakes, for a test of the emulation.
EMU_FAULTS := $(B)/tests/gpu/emu_faults
$(EMU_FAULTS): $(B)/tests/gpu/emu_faults.emu.o $(B)/kernels/emu/cuemu.emu.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ -llapacke -lopenblas -lm

$(GPU_TESTS): %: %.o $(LIB) | $(EMU_SO) $(GPU_FAKES)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ -lcmocka $(BP_LIBS)

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)

# --- packages ---------------------------------------------------------------------------------

# Installs what is missing; does nothing, and needs no root, when all is there.
.PHONY: deps
deps:
	@command -v dpkg-query >/dev/null || \
	    { echo 'not a Debian system: make sure that these are installed: $(DEPS)'; exit 0; }; \
	missing=; \
	for p in $(DEPS); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || \
	        missing="$$missing $$p"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	echo "installing$$missing"; \
	[ "$$(id -u)" = 0 ] || { echo "this needs root: run \`sudo make deps\`, then make again"; exit 1; }; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -q && apt-get install -y -q --no-install-recommends $$missing

# --- running ----------------------------------------------------------------------------------

.PHONY: run demo sessions pictures
# On a terminal the workbench; elsewhere the shipped session in words.
run: deps
	@$(MAKE) --no-print-directory all
	build/bitplan

# The commands one after the other, on a small synthetic model.
demo: deps
	@$(MAKE) --no-print-directory all
	@mkdir -p build/demo
	build/bitplan sample build/demo/model --shapes tiny --layers 2 --force
	build/bitplan measure build/demo/model -o build/demo/table.safetensors --rank 8 \
	    --grid b0=2,3,4:b1=2,4:b2=bf16:B0=16,64:B1=16,256 --force
	build/bitplan solve build/demo/table.safetensors --bits 2.75 -o build/demo/plan.json --force
	build/bitplan decompose build/demo/plan.json build/demo/model -o build/demo/decomposed \
	    --emit hf,packed --force
	build/bitplan verify build/demo/plan.json --model build/demo/model \
	    --output build/demo/decomposed

# The shipped sessions anew (sessions/README.md). STORY=DIR names the model of story-656k; without
# it that one is left as it is.
S := build/sessions
NUMPY = $(firstword $(foreach p,python3 /usr/bin/python3,$(shell $(p) -c 'import numpy; print("$(p)")' \
            2>/dev/null)))
SCIPY = $(firstword $(foreach p,python3 /usr/bin/python3,$(shell $(p) -c \
            'import numpy, scipy; print("$(p)")' 2>/dev/null)))
sessions: all
	@[ -n '$(NUMPY)' ] || { echo 'this needs a python3 with NumPy'; exit 1; }
	@echo 'measures 54,432 cells: about 15 minutes on one core'
	build/bitplan sample $(S)/model --shapes llama-2-7b --hidden 128 --force
	build/bitplan measure $(S)/model -o $(S)/small.safetensors --rank 2 --effort exact --force
	$(NUMPY) sessions/scale.py $(S)/small.safetensors sessions/llama-2-7b.safetensors
	build/bitplan sessions/llama-2-7b.safetensors --script ': "save! sessions/llama-2-7b.json" Enter' \
	    >/dev/null
ifdef STORY
	build/bitplan measure $(STORY) -o $(S)/story.safetensors --rank 8 --effort exact --force
	cp $(S)/story.safetensors sessions/story-656k.safetensors
	build/bitplan sessions/story-656k.safetensors --script ': "save! sessions/story-656k.json" Enter' \
	    >/dev/null
else
	@echo 'sessions/story-656k.safetensors: kept; STORY=DIR measures that model again'
endif

# The pictures of README and docs, which a test compares with what the program paints.
pictures: $(BIN) $(FRAME_SVG)
	@BITPLAN=$(BIN) FRAME_SVG=$(FRAME_SVG) bash tests/tui/pictures.sh docs/pictures

# --- testing ----------------------------------------------------------------------------------

# Where the sanitizers' stages look; halt on the first finding.
export ASAN_OPTIONS  ?= detect_leaks=1:abort_on_error=0
export UBSAN_OPTIONS ?= print_stacktrace=1
# The slow ones first, so that the last to end is a short one.
SUITES := tests/faults/faults.bats $(sort $(wildcard tests/cli/*.bats)) tests/fuzz/replay.sh \
          tests/tui/golden.sh $(TUI_TESTS) $(TESTS) $(GPU_TESTS) tests/gpu/emulation.sh

.PHONY: test check check-all check-variant check-clang check-format
test: deps
	@$(MAKE) --no-print-directory check-all

# The quick round: unit and golden tests and the rules of the house.
check: $(TESTS)
	@bash tests/run.sh $(B)/results tests/house.sh $(TESTS)

# Everything: the same with the command line and the fuzz corpus, once as people build it and once
# under AddressSanitizer and UndefinedBehaviorSanitizer; the other compiler; the formatting.
check-all:
	@$(MAKE) --no-print-directory WERROR=1 VARIANT=release check-variant
	@$(MAKE) --no-print-directory check-format
	@$(MAKE) --no-print-directory check-clang
	@$(MAKE) --no-print-directory WERROR=1 VARIANT=asan check-variant
	@bash tests/run.sh --sum build/release/results build/asan/results

check-variant: $(TESTS) $(TUI_TESTS) $(GPU_TESTS) $(EMU_FAULTS) $(REPLAY) $(BIN) $(FAULTS) $(FRAME_SVG)
	@echo 'tests, $(VARIANT) build:'
	@BITPLAN=$(CURDIR)/$(BIN) FAULTS_SHIM=$(CURDIR)/$(FAULTS) REPLAY_DIR=$(CURDIR)/$(B)/tests/fuzz \
	    FRAME_SVG=$(CURDIR)/$(FRAME_SVG) EMU_DIR=$(CURDIR)/$(B) \
	    bash tests/run.sh $(B)/results tests/house.sh $(SUITES)

# A whole build without a warning by the compiler that is not the default; skipped where it is
# missing.
check-clang:
	@if command -v clang >/dev/null; then \
	    $(MAKE) --no-print-directory -s WERROR=1 VARIANT=clang CC=clang V=quiet program build-tests && \
	        echo 'clang: builds without a warning'; \
	else echo 'clang: not found, skipped'; fi

# The solver at length: 200 random budgets on each of twelve tables of whole models against an oracle
# of its own, and hundreds of small tables against GLPK. Some minutes.
.PHONY: check-solver
check-solver: $(B)/tests/unit/test_mckp_exact $(B)/tests/unit/test_mckp_glpk
	BITPLAN_BUDGETS=200 $(B)/tests/unit/test_mckp_exact
	BITPLAN_TABLES=100 $(B)/tests/unit/test_mckp_glpk

FORMATTED := '*.[ch]' '*.cu' '*.cc'

.PHONY: build-tests program
program: $(BIN)
build-tests: $(TESTS) $(TUI_TESTS) $(GPU_TESTS) $(FRAME_SVG)

check-format:
	@if command -v clang-format >/dev/null; then \
	    clang-format --dry-run -Werror $$(git ls-files $(FORMATTED)) && echo 'clang-format: clean'; \
	else echo 'clang-format: not found, skipped'; fi

.PHONY: format golden asan tsan bench
# The frames in tests/tui/golden as the workbench paints them now; look at what git says has changed.
golden: all
	@BITPLAN=$(CURDIR)/$(BIN) GOLDEN_UPDATE=1 bash tests/tui/golden.sh | grep -v '^ok'

format:
	clang-format -i $$(git ls-files $(FORMATTED))

# The sanitizers' builds, for hand use: build/asan/bitplan, build/tsan/bitplan.
asan tsan:
	@$(MAKE) --no-print-directory VARIANT=$@ all build-tests

# The same kernel and backend tests on a device, through the object that nvcc makes; where there is
# none, one line says why.
.PHONY: check-gpu bench-gpu
check-gpu: all $(GPU_TESTS)
	@why=$$($(GPU_SKIP)); [ -z "$$why" ] || { echo "SKIP check-gpu: $$why"; exit 0; }; \
	    BP_GPU_OBJECT=$(CURDIR)/$(CUDA_SO) bash tests/run.sh $(B)/results-gpu $(GPU_TESTS)
bench-gpu: all $(B)/tests/bench/bench_gpu
	@why=$$($(GPU_SKIP)); [ -z "$$why" ] || { echo "SKIP bench-gpu: $$why"; exit 0; }; \
	    BITPLAN_CUDA=$(CURDIR)/$(CUDA_SO) $(B)/tests/bench/bench_gpu $(ARGS)
GPU_SKIP = BITPLAN_CUDA=$(CURDIR)/$(CUDA_SO) $(BIN) info --backends | \
    sed -n 's/^  cuda  cannot be used: //p'

# Races on shared memory, between barriers: the kernels under ThreadSanitizer, which is told of
# each fiber. clang's, since gcc's takes minutes to make so many.
.PHONY: check-race
TSAN := build/tsan/tests/gpu
check-race:
	@if command -v clang++ >/dev/null; then \
	    $(MAKE) --no-print-directory -s VARIANT=tsan CC=clang V=quiet $(TSAN)/test_kernels \
	        $(TSAN)/emu_faults && OPENBLAS_NUM_THREADS=1 $(TSAN)/test_kernels && \
	    { ! $(TSAN)/emu_faults no-barrier >/dev/null 2>&1 || \
	        { echo 'check-race: a race that is there was not found'; exit 1; }; }; \
	else echo 'SKIP check-race: clang++ not found'; fi

# Prints figures, asserts none.
BENCH_MEASURE := $(B)/tests/bench/bench_measure
bench: $(BENCHES)
	@for b in $(filter-out $(BENCH_MEASURE),$(BENCHES)); do echo "$$b"; $$b || exit 1; done

# Measuring beside the reference procedure: most of an hour. ARGS=-q: a few minutes.
.PHONY: bench-measure
bench-measure: $(BENCH_MEASURE)
	@$< $(ARGS)

# What the efforts cost and what plans with their tables lose (docs/measuring.md), on a model of one's
# own: MODEL=DIR RANK=8 FISHER=FILE.
.PHONY: bench-efforts
bench-efforts: $(B)/tests/bench/bench_efforts
	@mkdir -p build/efforts
	@$< $(if $(RANK),-r $(RANK)) $(if $(FISHER),-f $(FISHER)) $(MODEL)

# The knapsack solver beside HiGHS (python3-scipy), CBC and GLPK, those that are installed, in one
# run. PEER_LIMIT: seconds a problem.
PEER_LIMIT ?= 30
.PHONY: bench-peers
bench-peers: $(B)/tests/bench/bench_solver
	@mkdir -p $(B)/peers
	@$< --dump $(B)/peers && $(or $(SCIPY),$(NUMPY),python3) tests/bench/peers.py $(B)/peers \
	    $(PEER_LIMIT)

# --- installing -------------------------------------------------------------------------------

.PHONY: install uninstall clean help
SHARE = $(DESTDIR)$(PREFIX)/share
LIBDIR = $(DESTDIR)$(PREFIX)/lib/bitplan
SHIPPED := $(sort $(wildcard sessions/*.json sessions/*.safetensors)) sessions/README.md
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/man/man1 $(SHARE)/bitplan/sessions \
	    $(SHARE)/bash-completion/completions
	install -m 755 build/bitplan $(DESTDIR)$(PREFIX)/bin/bitplan
	if [ -e $(CUDA_SO) ]; then install -d $(LIBDIR) && install -m 755 $(CUDA_SO) $(LIBDIR); fi
	build/bitplan --man > $(SHARE)/man/man1/bitplan.1
	install -m 644 docs/bitplan.bash $(SHARE)/bash-completion/completions/bitplan
	install -m 644 $(SHIPPED) $(SHARE)/bitplan/sessions

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/bitplan $(SHARE)/man/man1/bitplan.1 \
	    $(SHARE)/bash-completion/completions/bitplan
	rm -f $(SHIPPED:%=$(SHARE)/bitplan/%)
	rm -f $(LIBDIR)/libbitplan_cuda.so
	rmdir $(LIBDIR) $(SHARE)/bitplan/sessions $(SHARE)/bitplan 2>/dev/null || true

clean:
	rm -rf build

help:
	@echo 'make            build/bitplan'
	@echo 'make run        the workbench on a shipped session (installs missing packages first)'
	@echo 'make demo       a small model sampled, measured, planned at 2.75 bits/param, decomposed'
	@echo 'make test       all tests (installs missing packages first)'
	@echo 'make deps       install the Debian packages that are missing (needs root)'
	@echo 'make check      unit and golden tests; make check-all: everything but the packages'
	@echo 'make check-solver  the solver against its oracle and GLPK, at length: some minutes'
	@echo 'make asan       sanitizer build in build/asan; make tsan: in build/tsan'
	@echo 'make check-gpu  the kernels on a device (skips without one); make check-race: under TSan;'
	@echo '                make bench-gpu: figures of a device'
	@echo 'make bench      benchmarks; make bench-peers: other solvers beside ours'
	@echo 'make bench-measure  measuring beside the reference procedure: most of an hour; ARGS=-q: minutes'
	@echo 'make bench-efforts  MODEL=DIR RANK=8 FISHER=FILE: what the efforts cost and lose'
	@echo 'make format     clang-format on all sources'
	@echo 'make golden     writes the frames anew that tests compare with'
	@echo 'make pictures   writes docs/pictures anew, which a test compares with'
	@echo 'make sessions   measures the shipped sessions anew: about 15 minutes on one core'
	@echo 'make install    into PREFIX=$(PREFIX), honours DESTDIR; make uninstall'
