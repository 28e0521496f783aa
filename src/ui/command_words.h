/*
 * The words of the command line. X(word, arguments, help); one table for running, completing, help
 * and the manual page. The options of the headless commands have the same names here.
 */
#ifndef BP_UI_COMMAND_WORDS_H
#define BP_UI_COMMAND_WORDS_H

#define BP_COMMANDS(X)                                                                     \
    X(bits, "X", "budget in bits/param over the planned matrices")                         \
    X(size, "N", "budget in bytes over the planned matrices: 2.2GiB, 2200MB")              \
    X(total, "N", "budget in bytes for everything in memory, KV cache as set")             \
    X(grid, "G", "paper, reference, nf4, all, or b0=2,3,4:b1=2,4:b2=bf16:B0=16,64:B1=256") \
    X(pin, "RE=CONFIG", "matching matrices take a config of that form: nf4:*:*:64:*")      \
    X(ban, "RE=CONFIG", "matching matrices take none of that form")                        \
    X(floor, "RE=BITS", "matching matrices take at least BITS bits/param")                 \
    X(ceil, "RE=BITS", "matching matrices take at most BITS bits/param")                   \
    X(tie, "GROUP", "one candidate a group: qkv, gate_up, experts, layer, kind, NAME=RE")  \
    X(weight, "RE=X", "the error of matching matrices counts X times")                     \
    X(free, "[N]", "take constraint number N back, or all but the grid")                   \
    X(card, "SIZE", "the card: 24GiB, 80GiB, or a bare number of GiB")                     \
    X(set, "NAME N", "context, batch, kv-bits, train-batch, train-sequence")               \
    X(find, "RE", "move to the next matrix whose name matches")                            \
    X(show, "PANEL", "map, curve, matrix, grid, memory, plans")                            \
    X(metric, "NAME", "the map shows bits, error, relative, share or price")               \
    X(bookmark, "NAME", "keep this plan under a name")                                     \
    X(go, "NAME", "back to a kept plan: its budget and constraints")                       \
    X(rename, "OLD NEW", "another name for a kept plan")                                   \
    X(compare, "[NAME]", "show what differs from a kept plan; without a name: end")        \
    X(forget, "NAME", "forget a kept plan")                                                \
    X(undo, "", "take the last change back")                                               \
    X(redo, "", "do it again")                                                             \
    X(export, "FILE", "write the plan: .json as solve -o does, or .csv; export! replaces") \
    X(save, "FILE", "save the session; save! replaces a file that is there")               \
    X(open, "FILE", "open a table, session, plan or model")                                \
    X(help, "", "keys and commands")                                                       \
    X(quit, "", "leave; quit! loses what was not saved")

#endif
