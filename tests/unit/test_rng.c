#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/rng.h"

/* Vectors of Random123 (kat_vectors, philox 4x32 10). Our counter is the low 64 bits of theirs, the
 * upper two words are 0, and our key is their two key words: of the published vectors only the one
 * with counter 0 and key 0 can be expressed. The others check the reference below, which has all
 * 128 bits, and the reference then checks ours. */
static void philox_reference(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k[2] = {key[0], key[1]};
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)c[0] * 0xD2511F53u, b = (uint64_t)c[2] * 0xCD9E8D57u;
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t out[4];
        philox_reference(vectors[i].counter, vectors[i].key, out);
        assert_memory_equal(out, vectors[i].out, sizeof out);
    }
    uint32_t zero[4];
    bp_rng_block(0, 0, zero);
    assert_memory_equal(zero, vectors[0].out, sizeof zero);
}

static void blocks_equal_the_128_bit_reference(void **state)
{
    (void)state;
    static const uint64_t words[] = {
        0, 1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX, UINT64_C(0x243f6a8885a308d3)};
    enum { N = sizeof words / sizeof *words };
    for (size_t i = 0; i < N * N; i++) {
        uint64_t key = words[i / N], at = words[i % N];
        const uint32_t counter[4] = {(uint32_t)at, (uint32_t)(at >> 32), 0, 0};
        const uint32_t keys[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
        uint32_t want[4], got[4];
        philox_reference(counter, keys, want);
        bp_rng_block(key, at, got);
        assert_memory_equal(got, want, sizeof got);
    }
}

enum { N_SPLIT = 1023 };

static void any_split_of_a_range_gives_the_same_values(void **state)
{
    (void)state;
    const uint64_t first = 4 * (uint64_t)UINT32_MAX + 2; /* crosses the counter's lower word */
    double uniform[N_SPLIT], u[N_SPLIT];
    float normal[N_SPLIT], x[N_SPLIT];
    bp_rng_uniform(5, first, N_SPLIT, uniform);
    bp_rng_normal(5, first, N_SPLIT, normal);
    static const size_t steps[] = {1, 2, 3, 4, 5, 7, 64, 333, 1022};
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        for (size_t at = 0; at < N_SPLIT; at += steps[s]) {
            size_t n = N_SPLIT - at < steps[s] ? N_SPLIT - at : steps[s];
            bp_rng_uniform(5, first + at, n, u + at);
            bp_rng_normal(5, first + at, n, x + at);
        }
        assert_memory_equal(u, uniform, sizeof u);
        assert_memory_equal(x, normal, sizeof x);
    }
    bp_rng_uniform(5, first, 0, NULL);
    bp_rng_normal(5, first, 0, NULL);
}

enum { N_MOMENTS = 1 << 20 };

/* Bounds are five standard deviations of the estimate over N_MOMENTS draws. */
static void normal_moments(void **state)
{
    (void)state;
    static float x[N_MOMENTS];
    bp_rng_normal(bp_rng_key(1, "moments", "", 0), 0, N_MOMENTS, x);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, pair = 0;
    for (size_t i = 0; i < N_MOMENTS; i++) {
        double v = (double)x[i];
        assert_true(isfinite(v));
        m1 += v;
        m2 += v * v;
        m3 += v * v * v;
        m4 += v * v * v * v;
        pair += i ? v * (double)x[i - 1] : 0;
    }
    const double n = N_MOMENTS, sd = 5 / sqrt(n);
    assert_true(fabs(m1 / n) < sd);
    assert_true(fabs(m2 / n - 1) < sd * sqrt(2));
    assert_true(fabs(m3 / n) < sd * sqrt(15));
    assert_true(fabs(m4 / n - 3) < sd * sqrt(96));
    assert_true(fabs(pair / n) < sd);
}

static void uniform_is_inside_the_open_interval_and_even(void **state)
{
    (void)state;
    static double u[N_MOMENTS];
    uint32_t cells[16] = {0};
    bp_rng_uniform(bp_rng_key(2, "even", "", 0), 0, N_MOMENTS, u);
    for (size_t i = 0; i < N_MOMENTS; i++) {
        assert_true(u[i] > 0 && u[i] < 1);
        cells[(int)(u[i] * 16)]++;
    }
    double chi2 = 0;
    for (int c = 0; c < 16; c++)
        chi2 += pow(cells[c] - N_MOMENTS / 16.0, 2) / (N_MOMENTS / 16.0);
    assert_true(chi2 < 50); /* 15 degrees of freedom: one in 10^5 */
}

static void key_differs_when_any_part_changes(void **state)
{
    (void)state;
    const uint64_t keys[] = {
        bp_rng_key(0, "", "", 0),
        bp_rng_key(1, "", "", 0),
        bp_rng_key(0, "a", "", 0),
        bp_rng_key(0, "", "a", 0),
        bp_rng_key(0, "", "", 1),
        bp_rng_key(0, "ab", "c", 0),
        bp_rng_key(0, "a", "bc", 0),
        bp_rng_key(0, "abc", "", 0),
        bp_rng_key(0, "", "abc", 0),
        bp_rng_key(UINT64_C(1) << 32, "", "", 0),
        bp_rng_key(0, "", "", UINT64_C(1) << 32),
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(keys[i] != keys[j]);
    assert_true(bp_rng_key(3, "m", "nf3", 2) == bp_rng_key(3, "m", "nf3", 2));
}

/* Tables and synthetic models on disk rest on these draws: a change here is a change of format. */
static void streams_stay_as_they_are(void **state)
{
    (void)state;
    uint64_t key = bp_rng_key(42, "model.layers.0.self_attn.q_proj.weight", "bulk", 0);
    double u;
    bp_rng_uniform(0, 0, 1, &u);
    assert_true(u == (0x6627e8d5 + 0.5) * 0x1p-32);
    assert_true(key == UINT64_C(0x80cfdefede530195));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(blocks_equal_the_128_bit_reference),
        cmocka_unit_test(any_split_of_a_range_gives_the_same_values),
        cmocka_unit_test(normal_moments),
        cmocka_unit_test(uniform_is_inside_the_open_interval_and_even),
        cmocka_unit_test(key_differs_when_any_part_changes),
        cmocka_unit_test(streams_stay_as_they_are),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
