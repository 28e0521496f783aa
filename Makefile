# bitplan: one Makefile, no configure.
#
#   make            build/bitplan
#   make run        the main job on an embedded default: sample a model, measure it, plan it
#   make test       everything that CI runs (installs what is missing first)
#   make help       all targets
#
# V=1 shows the commands, CC=clang and the like are honoured, VARIANT names the folder of objects.

PREFIX  ?= /usr/local
DESTDIR ?=
V       ?= 0
VARIANT ?= release

CFLAGS_release := -O3
CFLAGS_clang   := -O2
CFLAGS_asan    := -O1 -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
CFLAGS_fuzz    := $(CFLAGS_asan)

# No contraction into fused multiply-adds and no fast-math: the same source gives the same bits with
# every compiler, which the table's "equal for any split and any restart" rests on.
BP_CPPFLAGS := -Isrc -D_GNU_SOURCE
BP_CFLAGS   := -std=c17 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
               -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 -ffp-contract=off \
               -fno-math-errno -fno-common $(CFLAGS_$(VARIANT)) $(CFLAGS)
BP_LDFLAGS  := $(filter -fsanitize=%,$(CFLAGS_$(VARIANT))) $(LDFLAGS)
BP_LIBS     := -llapacke -lopenblas -lglpk -lcjson -lxxhash -lpthread -lm

# Debian packages: what the program links, and what its tests use.
DEPS_BUILD := gcc libc6-dev libopenblas-dev liblapacke-dev libglpk-dev libcjson-dev libxxhash-dev
DEPS_TEST  := libcmocka-dev bats jq python3-numpy

B    := build/$(VARIANT)
BIN  := $(if $(filter release,$(VARIANT)),build/bitplan,$(B)/bitplan)
SRCS := $(sort $(wildcard src/*/*.c))
OBJS := $(SRCS:%.c=$(B)/%.o)
LIB  := $(B)/libbitplan.a
UNIT := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/test_*.c tests/golden/test_*.c)))

ifeq ($(V),0)
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)';
endif

.PHONY: all
all: $(BIN)

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

$(B)/tests/%: $(B)/tests/%.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BP_LDFLAGS) $^ -o $@ -lcmocka $(BP_LIBS)

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)

.PHONY: unit
unit: $(UNIT)
