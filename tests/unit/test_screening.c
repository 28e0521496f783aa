/* Screening: what is iterated, what is estimated, and that a hull rests on iterated errors. */
#include "support.h"

#include "engine/screening.h"

enum { N_MAX = 512 };

/* A row under a grid: numbers that the tests set and what screening makes of them. */
struct row {
    struct bp_grid grid;
    size_t n;
    uint64_t storage[N_MAX];
    double one_step[N_MAX], iterated_error[N_MAX], error[N_MAX];
    uint8_t picked[N_MAX], iterated[N_MAX];
    size_t rounds;
};

static struct row *row_of(const char *grid)
{
    struct row *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(bp_grid_parse(grid, &r->grid, NULL), BP_OK);
    r->n = r->grid.n;
    assert_in_range(r->n, 1, N_MAX);
    for (size_t j = 0; j < r->n; j++)
        assert_true(bp_config_storage(&r->grid.configs[j], 1 << 20, &r->storage[j]));
    return r;
}

static void free_row(struct row *r)
{
    bp_grid_done(&r->grid);
    free(r);
}

/* As a quantizer's: a fourth a bit, finer scales help a little; iterating gains more at few bits,
 * and somewhat by chance. */
static void quantizer_like(struct row *r, uint64_t seed)
{
    struct support_rng g = {seed};
    for (size_t j = 0; j < r->n; j++) {
        const struct bp_config *c = &r->grid.configs[j];
        r->one_step[j] = 1e4 * pow(4.0, -(double)c->b0) * (1.0 + 0.003 * c->B0) *
                         (1.0 + 2.0 * pow(4.0, -(double)c->b1)) * (1.0 + 0.02 * support_unit(&g));
        r->iterated_error[j] =
            r->one_step[j] * (0.6 + 0.05 * c->b0) * (1.0 + 0.02 * support_unit(&g));
    }
}

/* All of it, as measuring does; returns the first pick's number. */
static size_t screen(struct row *r)
{
    struct bp_screen *s;
    struct bp_err err = {""};
    if (bp_screen_new(r->grid.configs, r->n, &s, &err))
        fail_msg("%s", err.text);
    memset(r->iterated, 0, sizeof r->iterated);
    const size_t first = bp_screen_first(s, r->storage, r->one_step, r->picked);
    for (size_t more = first; more > 0; r->rounds++) {
        size_t n = 0;
        for (size_t j = 0; j < r->n; j++) {
            if (!r->picked[j])
                continue;
            assert_false(r->iterated[j]); /* nothing twice */
            r->iterated[j] = 1;
            r->error[j] = r->iterated_error[j];
            n++;
        }
        assert_int_equal(n, more);
        bp_screen_estimate(s, r->one_step, r->iterated, r->error);
        more = bp_screen_next(s, r->storage, r->error, r->iterated, r->picked);
    }
    bp_screen_free(s);
    return first;
}

static size_t n_iterated(const struct row *r)
{
    size_t n = 0;
    for (size_t j = 0; j < r->n; j++)
        n += r->iterated[j];
    return n;
}

/* The least error that mixing two configs has at some storage: the hull, the slow way. */
static double hull_at(const struct row *r, const double *error, uint64_t storage)
{
    double least = INFINITY;
    for (size_t a = 0; a < r->n; a++) {
        if (r->storage[a] > storage)
            continue;
        least = fmin(least, error[a]);
        for (size_t b = 0; b < r->n; b++)
            if (r->storage[b] > storage) {
                const double share =
                    (double)(storage - r->storage[a]) / (double)(r->storage[b] - r->storage[a]);
                least = fmin(least, error[a] + (error[b] - error[a]) * share);
            }
    }
    return least;
}

static void no_estimate_is_near_the_hull(void **state)
{
    (void)state;
    static const char *const grids[] = {"paper", "reference", "b0=2,3,4,8:b1=4,8",
                                        "b0=3:b1=2,3,4:b2=bf16:B0=16,32:B1=16"};
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct row *r = row_of(grids[g]);
            quantizer_like(r, seed);
            screen(r);
            for (size_t j = 0; j < r->n; j++) {
                const double hull = hull_at(r, r->error, r->storage[j]);
                if (!r->iterated[j])
                    assert_true(r->error[j] >= 1.0099 * hull);
                assert_true(r->error[j] >= 0.999999 * hull);
            }
            assert_in_range(n_iterated(r), 1, r->n);
            free_row(r);
        }
}

static void what_is_near_the_hull_after_one_step_is_iterated_and_what_is_far_is_not(void **state)
{
    (void)state;
    struct row *r = row_of("paper");
    size_t near = 0;
    quantizer_like(r, 9);
    const size_t first = screen(r);
    for (size_t j = 0; j < r->n; j++) {
        const double hull = hull_at(r, r->one_step, r->storage[j]);
        if (r->one_step[j] <= 1.0199 * hull) {
            assert_true(r->iterated[j]);
            near++;
        }
    }
    assert_in_range(first, near, r->n);
    assert_true(n_iterated(r) < r->n / 2); /* that is the point of it */
    free_row(r);
}

static void families_go_together(void **state)
{
    (void)state;
    struct row *r = row_of("paper");
    quantizer_like(r, 3);
    screen(r);
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j < r->n; j++) {
            const struct bp_config *a = &r->grid.configs[i], *b = &r->grid.configs[j];
            if (a->b0 == b->b0 && a->b1 == b->b1 && a->B0 == b->B0 && a->B1 == b->B1)
                assert_int_equal(r->iterated[i], r->iterated[j]);
        }
    free_row(r);
}

static void every_b0_with_b1_has_one_family_iterated(void **state)
{
    (void)state;
    struct row *r = row_of("reference");
    quantizer_like(r, 8);
    screen(r);
    for (size_t j = 0; j < r->n; j++) {
        bool any = false;
        for (size_t i = 0; i < r->n; i++)
            any |= r->iterated[i] && r->grid.configs[i].b0 == r->grid.configs[j].b0 &&
                   r->grid.configs[i].b1 == r->grid.configs[j].b1;
        assert_true(any);
    }
    free_row(r);
}

static void every_b0_has_two_families_iterated_even_far_from_the_hull(void **state)
{
    (void)state;
    struct row *r = row_of("b0=2,3,4,8:b1=2,4:b2=bf16,fp32:B0=16,64:B1=16");
    quantizer_like(r, 4);
    for (size_t j = 0; j < r->n; j++)
        if (r->grid.configs[j].b0 == 8)
            r->one_step[j] = r->iterated_error[j] = 1e9; /* hopeless */
    screen(r);
    for (unsigned b0 = 2; b0 <= 8; b0 += b0 == 4 ? 4 : 1) {
        size_t n = 0;
        for (size_t j = 0; j < r->n; j++)
            n += r->iterated[j] && r->grid.configs[j].b0 == b0;
        assert_in_range(n, 2 * 2, 2 * 4); /* of two types each */
    }
    for (size_t j = 0; j < r->n; j++)
        if (r->grid.configs[j].b0 == 8 && !r->iterated[j])
            assert_true(r->error[j] == 1e9);
    free_row(r);
}

static void an_estimate_is_one_step_times_the_gain_of_its_neighbours(void **state)
{
    (void)state;
    struct row *r = row_of("b0=2,3:b1=2,4:b2=bf16:B0=16,64:B1=16,64");
    struct bp_screen *s;
    assert_int_equal(bp_screen_new(r->grid.configs, r->n, &s, NULL), BP_OK);
    for (size_t j = 0; j < r->n; j++) {
        const struct bp_config *c = &r->grid.configs[j];
        r->one_step[j] = 10.0 + (double)j;
        /* Iterated: all of b1 = 4, B0 = 64; the two of B1 gained 0.5 and 0.08. */
        r->iterated[j] = c->b1 == 4 && c->B0 == 64;
        if (r->iterated[j])
            r->error[j] = r->one_step[j] * (c->b0 == 3 ? 0.9 : c->B1 == 16 ? 0.5 : 0.08);
    }
    /* And one of b0 = 2, b1 = 2, B0 = 16: the nearest for all of that b1, also where the first two
     * are nearer by B0. */
    for (size_t j = 0; j < r->n; j++) {
        const struct bp_config *c = &r->grid.configs[j];
        if (c->b0 == 2 && c->b1 == 2 && c->B0 == 16 && c->B1 == 16) {
            r->iterated[j] = 1;
            r->error[j] = r->one_step[j] * 0.7;
        }
    }
    bp_screen_estimate(s, r->one_step, r->iterated, r->error);
    for (size_t j = 0; j < r->n; j++) {
        const struct bp_config *c = &r->grid.configs[j];
        const double want = c->b0 == 3 ? 0.9 : c->b1 == 2 ? 0.7 : 0.2; /* sqrt(0.5 * 0.08) */
        if (!r->iterated[j])
            assert_true(fabs(r->error[j] / r->one_step[j] - want) < 1e-12);
    }
    bp_screen_free(s);
    free_row(r);
}

static void equal_errors_are_all_iterated(void **state)
{
    (void)state;
    struct row *r = row_of("paper");
    for (size_t j = 0; j < r->n; j++)
        r->one_step[j] = r->iterated_error[j] = 7.0;
    assert_int_equal(screen(r), r->n);
    assert_int_equal(r->rounds, 1);
    free_row(r);
}

static void zero_errors_do_no_harm(void **state)
{
    (void)state;
    struct row *r = row_of("paper");
    assert_int_equal(screen(r), r->n); /* a matrix of zeros */
    quantizer_like(r, 5);
    for (size_t j = 0; j < r->n; j++)
        if (r->grid.configs[j].b0 == 4)
            r->one_step[j] = r->iterated_error[j] = 0.0; /* four bits hold it exactly */
    screen(r);
    for (size_t j = 0; j < r->n; j++) {
        assert_true(isfinite(r->error[j]) && r->error[j] >= 0.0);
        assert_int_equal(r->error[j] == 0.0, r->grid.configs[j].b0 == 4);
    }
    free_row(r);
}

static void iterating_to_zero_makes_no_estimate_zero(void **state)
{
    (void)state;
    struct row *r = row_of("paper");
    quantizer_like(r, 6);
    for (size_t j = 0; j < r->n; j++)
        if (r->grid.configs[j].b0 == 4 && r->grid.configs[j].b1 == 4)
            r->iterated_error[j] = 0.0;
    screen(r);
    for (size_t j = 0; j < r->n; j++)
        if (!r->iterated[j])
            assert_true(r->error[j] > 0.0);
    free_row(r);
}

static void one_candidate_is_iterated(void **state)
{
    (void)state;
    struct row *r = row_of("nf4");
    assert_int_equal(r->n, 1);
    r->one_step[0] = 3.0;
    r->iterated_error[0] = 2.0;
    assert_int_equal(screen(r), 1);
    assert_true(r->error[0] == 2.0);
    free_row(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_estimate_is_near_the_hull),
        cmocka_unit_test(what_is_near_the_hull_after_one_step_is_iterated_and_what_is_far_is_not),
        cmocka_unit_test(families_go_together),
        cmocka_unit_test(every_b0_with_b1_has_one_family_iterated),
        cmocka_unit_test(every_b0_has_two_families_iterated_even_far_from_the_hull),
        cmocka_unit_test(an_estimate_is_one_step_times_the_gain_of_its_neighbours),
        cmocka_unit_test(equal_errors_are_all_iterated),
        cmocka_unit_test(zero_errors_do_no_harm),
        cmocka_unit_test(iterating_to_zero_makes_no_estimate_zero),
        cmocka_unit_test(one_candidate_is_iterated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
