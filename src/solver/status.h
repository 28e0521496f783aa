/*
 * What a fallible function of bitplan returns.
 *
 * 0 is done, a positive value a soft result that the caller must tell apart from "done", a
 * negative value an error after which the outputs hold nothing. The text of an error travels
 * beside it, in a `struct bp_err` (engine/err.h). The enum lives in the solver because the solver
 * is the lowest room of the house (main -> cli, ui -> engine -> solver).
 */
#ifndef BP_SOLVER_STATUS_H
#define BP_SOLVER_STATUS_H

/* X(name, value, exit status of a command that ends with it) */
#define BP_STATUSES(X)                                                                     \
    X(BP_OK, 0, 0)            /* done */                                                   \
    X(BP_INFEASIBLE, 1, 3)    /* no plan fits the budget and the constraints */            \
    X(BP_LIMIT, 2, 0)         /* a limit was hit: the best plan so far and its true gap */ \
    X(BP_STOPPED, 3, 1)       /* the user asked to stop; what was done is kept */          \
    X(BP_ERR_FAILED, -1, 1)   /* the system refused: disk, permission, a library */        \
    X(BP_ERR_USAGE, -2, 2)    /* the command line is wrong */                              \
    X(BP_ERR_INPUT, -3, 4)    /* the data handed in is wrong */                            \
    X(BP_ERR_NOMEM, -4, 1)    /* out of memory */                                          \
    X(BP_ERR_MISMATCH, -5, 1) /* a check of figures failed, or an output belongs to other work */

enum bp_status {
#define BP_STATUS_ENUM(name, value, exit_code) name = value,
    BP_STATUSES(BP_STATUS_ENUM)
#undef BP_STATUS_ENUM
};

#endif
