/*
 * The error table: matrix x candidate, the error and the storage of every choice, in a
 * .safetensors file that NumPy and PyTorch read in one line.
 *
 * Tensors: `error` F64 [N, C] (NaN = not measured), `storage` U64 [N, C] bits, and, not required,
 * `norm` F64 [N] (the error of keeping nothing), `iterations` U16 [N, C], `baseline_error` F64
 * [N, 2] (QLoRA's NF4 and NF3 without a low-rank part), `stage` U8 [N, C] (how far a cell was
 * taken; tables of `--effort exact` have none). `__metadata__` holds format, version and,
 * as JSON text, matrices, candidates, objective, model and method (docs/formats.md). A table with
 * error, storage, matrices and candidates alone opens.
 *
 * The file is created whole, full of NaN; a row is filled by one write of its errors after its
 * other numbers, so the file is valid at every instant and a killed run loses at most the rows in
 * hand. An open table is a read-only mapping of the file; the strings belong to the struct.
 */
#ifndef BP_ENGINE_TABLE_H
#define BP_ENGINE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"

struct bp_st;

/* X(enum suffix, name): how much work a table's cells are given (measure.h). */
#define BP_EFFORTS(X)       \
    X(EXACT, "exact")       \
    X(FULL, "full")         \
    X(BALANCED, "balanced") \
    X(QUICK, "quick")

enum bp_effort {
#define BP_EFFORT_ENUM(id, name) BP_EFFORT_##id,
    BP_EFFORTS(BP_EFFORT_ENUM)
#undef BP_EFFORT_ENUM
        BP_N_EFFORTS
};

const char *bp_effort_name(enum bp_effort effort);
bool bp_effort_parse(const char *name, enum bp_effort *out);

/* How far a cell was taken; the values of tensor `stage`. */
enum bp_cell_stage {
    BP_CELL_MISSING,   /* not measured */
    BP_CELL_ONE_STEP,  /* Q = quantize(W - SVD_r(W)), and no more */
    BP_CELL_ESTIMATED, /* one step times what iterating gained its neighbours */
    BP_CELL_ITERATED,  /* to the method's end */
    BP_N_CELL_STAGES
};

enum { BP_N_BASELINES = 2 }; /* nf4, nf3: bp_config_nf4, bp_config_nf3, rank 0 */

struct bp_table_matrix {
    char *name;
    uint64_t d, k;
    char *dtype; /* "" when the table does not say */
    int layer;   /* -1 outside numbered layers */
    char *kind;  /* "" when there is none */
};

/* What the errors are of, and how they came about. Strings are never NULL. */
struct bp_table_about {
    char *weighting;             /* "none", "fisher" or "imatrix" */
    char *weighting_source;      /* file of the weights, "" for none */
    char *weighting_fingerprint; /* of that file */
    char *model_name;
    char *model_fingerprint;
    uint64_t params, params_outside,
        bytes_outside; /* 0, 0, 0 when unknown: params is never 0 else */
    bool synthetic;
    char *effort; /* bp_effort_name; "" when the table does not say */
    bool on_cuda; /* by the CUDA backend: its errors are the CPU's up to noise, not to the bit */
    uint64_t iterations, oversampling, power_iterations, seed;
    uint64_t method_version; /* of the arithmetic: numbers of different versions are not mixed */
};

struct bp_table {
    char *path;
    struct bp_table_matrix *matrices; /* [n_matrices] */
    size_t n_matrices;
    struct bp_candidate *candidates; /* [n_candidates] */
    size_t n_candidates;
    struct bp_table_about about;
    const double *error;          /* [n_matrices * n_candidates] NaN = not measured */
    const uint64_t *storage;      /* [n_matrices * n_candidates] bits */
    const double *norm;           /* [n_matrices] or NULL */
    const uint16_t *iterations;   /* [n_matrices * n_candidates] or NULL */
    const double *baseline_error; /* [n_matrices * BP_N_BASELINES] or NULL */
    const uint8_t *stage;         /* [n_matrices * n_candidates] or NULL: see bp_table_stage */
    /* Of the table that this is a part of (bp_table_measured_part); 0 = of none. */
    size_t whole_matrices;
    uint64_t whole_params;
    struct bp_st *st; /* the open file; NULL in a table that is yet to be created */
    void *copies[6];  /* arrays that the file does not align, or of a part */
};

/* The current method_version. */
enum { BP_METHOD_VERSION = 1 };

/* Opens a table and checks it: shapes that agree, no negative or infinite error, unique names,
 * storage below 2^62 bits a row. BP_ERR_INPUT names file and place. */
enum bp_status bp_table_open(const char *path, struct bp_table **out, struct bp_err *err);

/* Takes NULL, returns NULL. Also frees a table built by hand. */
struct bp_table *bp_table_close(struct bp_table *table);

/* *yes: the file at `path` says that it is a bitplan table (whether it is a good one or not). A
 * file that is no safetensors file says no; one that the system would not give fails. */
enum bp_status bp_table_looks_like(const char *path, bool *yes, struct bp_err *err);

/* Cells of row i that are measured. */
size_t bp_table_measured_in_row(const struct bp_table *table, size_t i);
/* Rows with a measured cell. */
size_t bp_table_rows_measured(const struct bp_table *table);
/* Cells of all. */
uint64_t bp_table_measured(const struct bp_table *table);

/* How far cell [i, j] was taken. A number without a mark is one step: marks are written last. In
 * tables without marks what is measured is iterated. */
enum bp_cell_stage bp_table_stage(const struct bp_table *table, size_t i, size_t j);
/* n [BP_N_CELL_STAGES]: how many cells are at each stage. */
void bp_table_count_stages(const struct bp_table *table, uint64_t n[BP_N_CELL_STAGES]);

/* The rows that have a measured cell, as a table of its own whose numbers are copies: planning on
 * what is there so far. row [n] gets the row of `table` for each of its own; free it with free().
 * BP_ERR_INPUT when there is none. */
enum bp_status bp_table_measured_part(const struct bp_table *table, struct bp_table **out,
                                      size_t **row, struct bp_err *err);

/* Sum of d k over the matrices. */
uint64_t bp_table_params(const struct bp_table *table);

/* "xxh3:<32 hex digits>" over names, shapes, candidates, storage, errors and norms; on the heap,
 * NULL when out of memory. */
char *bp_table_fingerprint(const struct bp_table *table);

/* --- creating and filling --- */

/* Creates the file for a table that has matrices, candidates (no foreign ones) and about, but no
 * numbers: storage by Eq. 3, everything else not measured; with tensor `stage` unless the effort is
 * exact. BP_ERR_MISMATCH when the name is taken
 * and replace is false. */
enum bp_status bp_table_create(const struct bp_table *table, const char *path, bool replace,
                               struct bp_err *err);

/* Numbers of a table in arrays of one's own; each may be NULL: not measured. */
struct bp_table_numbers {
    const double *error;          /* [n_matrices * n_candidates] */
    const double *norm;           /* [n_matrices] */
    const double *baseline_error; /* [n_matrices * BP_N_BASELINES] */
    const uint16_t *iterations;   /* [n_matrices * n_candidates] */
    const uint8_t *stage;         /* [n_matrices * n_candidates]; of no use to an exact table */
};

/* The same with numbers, in one go: the bytes are those of a table that was created and filled. */
enum bp_status bp_table_write(const struct bp_table *table, const struct bp_table_numbers *numbers,
                              const char *path, bool replace, struct bp_err *err);

/* BP_OK when `have` (open) holds the same work as `want` (by hand, or open as well): matrices,
 * candidates, weighting, model and method; else BP_ERR_MISMATCH, and the text says what differs
 * first. */
enum bp_status bp_table_same_work(const struct bp_table *have, const struct bp_table *want,
                                  struct bp_err *err);

struct bp_table_row {
    const double *error;          /* [n_candidates] finite */
    const uint16_t *iterations;   /* [n_candidates] */
    const double *baseline_error; /* [BP_N_BASELINES] */
    double norm;
    const uint8_t *stage; /* [n_candidates] enum bp_cell_stage; NULL for an exact table */
};

struct bp_table_writer;

/* Opens an existing table, created by bp_table_create, for filling. Several processes may fill
 * different rows of one file. */
enum bp_status bp_table_writer_open(const struct bp_table *table, struct bp_table_writer **out,
                                    struct bp_err *err);

/* Fills row i, which may have been filled before: its marks go first and come last, so that no mark
 * ever stands at a number of another stage, not even after a power cut: all before them (of a table
 * without marks, all before the errors) is synced. Threads may fill different rows at once. */
enum bp_status bp_table_writer_put(struct bp_table_writer *writer, size_t i,
                                   const struct bp_table_row *row, struct bp_err *err);

/* Syncs and closes; takes NULL. BP_ERR_FAILED when the disk refused what was written. */
enum bp_status bp_table_writer_close(struct bp_table_writer *writer, struct bp_err *err);

#endif
