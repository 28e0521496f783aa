/*
 * The words of the command line. X(word, function of app_commands.c, arguments, help); one table
 * for running, completing, help and the manual page. The options of the headless commands have the
 * same names here.
 */
#ifndef BP_UI_COMMAND_WORDS_H
#define BP_UI_COMMAND_WORDS_H

#define BP_COMMANDS(X)                                                                             \
    X("bits", set_budget, "X", "budget in bits/param over the planned matrices")                   \
    X("size", set_budget, "N", "budget in bytes over the planned matrices: 2.2GiB, 2200MB")        \
    X("total", set_budget, "N", "budget in bytes for everything in memory, KV cache as set")       \
    X("grid", do_grid, "G",                                                                        \
      "paper, reference, nf4, all, or b0=2,3,4:b1=2,4:b2=bf16:B0=16,64:B1=256")                    \
    X("pin", constrain, "RE=CONFIG", "matching matrices take a config of that form: nf4:*:*:64:*") \
    X("ban", constrain, "RE=CONFIG", "matching matrices take none of that form")                   \
    X("floor", constrain, "RE=BITS", "matching matrices take at least BITS bits/param")            \
    X("ceil", constrain, "RE=BITS", "matching matrices take at most BITS bits/param")              \
    X("tie", constrain, "GROUP",                                                                   \
      "one candidate a group: qkv, gate_up, experts, layer, kind, NAME=RE")                        \
    X("weight", constrain, "RE=X", "the error of matching matrices counts X times")                \
    X("objective", constrain, "O", "sum of errors, or relative: each over its matrix's norm")      \
    X("max-configs", constrain, "K", "at most K distinct configs in the plan")                     \
    X("limit", constrain, "RE=SIZE", "matching matrices together take at most SIZE")               \
    X("free", do_free, "[N]", "take constraint number N back, or all but the grid")                \
    X("card", do_card, "SIZE", "the card: 24GiB, 80GiB, or a bare number of GiB")                  \
    X("low-rank-bits", do_low_rank_bits, "B", "low-rank parts are kept in 8 (NF8), 16 or 32 bits") \
    X("set", do_set, "NAME N",                                                                     \
      "context, batch, kv-bits, low-rank-bits, train-batch, train-sequence")                       \
    X("stability", do_stability, "X",                                                              \
      "how far the plan holds when every error is off by X percent at random")                     \
    X("lint", do_lint, "", "what is odd about the table, as info --lint says")                     \
    X("find", do_find, "RE", "move to the next matrix whose name matches")                         \
    X("show", do_show, "PANEL", "map, curve, matrix, grid, memory, plans")                         \
    X("metric", do_metric, "NAME", "the map shows bits, error, relative, share or price")          \
    X("bookmark", do_bookmark, "NAME", "keep this plan under a name")                              \
    X("go", do_go, "NAME", "back to a kept plan: its budget and constraints")                      \
    X("rename", do_rename, "OLD NEW", "another name for a kept plan")                              \
    X("compare", do_compare, "[NAME]", "show what differs from a kept plan; without a name: end")  \
    X("forget", do_forget, "NAME", "forget a kept plan")                                           \
    X("undo", do_undo, "", "take the last change back")                                            \
    X("redo", do_redo, "", "do it again")                                                          \
    X("export", do_export, "FILE",                                                                 \
      "write the plan: .json as solve -o does, or .csv; export! replaces")                         \
    X("decompose", do_decompose, "MODEL OUT [FORMS]",                                              \
      "carry the plan out: hf, packed, bnb; decompose! replaces; MODEL may be left out if known")  \
    X("stop", do_stop, "", "end the carrying out; what is done is kept")                           \
    X("save", do_save, "FILE", "save the session; save! replaces a file that is there")            \
    X("open", do_open, "FILE", "open a table, session, plan or model")                             \
    X("help", do_help, "", "keys and commands")                                                    \
    X("quit", do_quit, "", "leave; quit! loses what was not saved")

#endif
