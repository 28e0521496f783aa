/* The session as a document: edits and their inverses, what they refuse, undo and redo over
 * thousands of random edits, and what counts as changed. */
#include "support.h"

#include "engine/session.h"

static struct bp_session fresh(void)
{
    struct bp_session s;
    assert_int_equal(bp_session_init(&s, "", NULL), BP_OK);
    return s;
}

static char *text_of(const struct bp_session *s)
{
    char *text = bp_session_text(s, NULL);
    assert_non_null(text);
    return text;
}

static void same_text(const struct bp_session *s, const char *want)
{
    char *text = text_of(s);
    assert_string_equal(text, want);
    free(text);
}

/* --- making edits; what they hold is borrowed --- */

static struct bp_edit budget_edit(double asked)
{
    return (struct bp_edit){.kind = BP_EDIT_BUDGET, .budget = {.asked = asked, .bits = 7}};
}

static struct bp_edit add_constraint(enum bp_constraint_kind kind, const char *value, size_t index)
{
    return (struct bp_edit){.kind = BP_EDIT_ADD_CONSTRAINT,
                            .index = index,
                            .constraint = {kind, (char *)(uintptr_t)value}};
}

static struct bp_edit add_bookmark(const char *name, size_t index)
{
    static uint32_t choice[] = {3, 1, 4, 1, 5};
    static struct bp_constraint list[] = {{BP_CONSTRAINT_PIN, (char *)(uintptr_t) "a=nf4:*:*:*:*"}};
    return (struct bp_edit){
        .kind = BP_EDIT_ADD_BOOKMARK,
        .index = index,
        .bookmark = {.name = (char *)(uintptr_t)name,
                     .budget = {.unit = BP_BUDGET_BYTES, .asked = 1000.0, .bits = 8000},
                     .constraints = {list, 1},
                     .choice = choice,
                     .n_choice = 5,
                     .storage_bits = 7900,
                     .error = 0.1,
                     .optimal = true}};
}

static struct bp_edit removal(enum bp_edit_kind kind, size_t index)
{
    return (struct bp_edit){.kind = kind, .index = index};
}

static struct bp_edit memory_edit(uint64_t context)
{
    struct bp_edit edit = {.kind = BP_EDIT_MEMORY};
    bp_memory_settings_default(&edit.memory);
    edit.memory.context = context;
    return edit;
}

/* Applies, takes back, applies: the texts are those of before and after. */
static void apply(struct bp_session *s, struct bp_edit edit)
{
    struct bp_err err = {""};
    struct bp_edit inverse, again, ignored;
    char *before = text_of(s);
    if (bp_session_apply(s, &edit, &inverse, &err))
        fail_msg("%s", err.text);
    char *after = text_of(s);
    assert_int_equal(bp_session_apply(s, &inverse, &again, NULL), BP_OK);
    same_text(s, before);
    assert_int_equal(bp_session_apply(s, &again, &ignored, NULL), BP_OK);
    same_text(s, after);
    bp_edit_done(&inverse);
    bp_edit_done(&again);
    bp_edit_done(&ignored);
    free(before);
    free(after);
}

static void refuses(struct bp_session *s, struct bp_edit edit, const char *words)
{
    struct bp_err err = {""};
    struct bp_edit inverse;
    char *before = text_of(s);
    if (bp_session_apply(s, &edit, &inverse, &err) != BP_ERR_USAGE)
        fail_msg("not refused: %s", words);
    support_says(err.text, words);
    same_text(s, before);
    free(before);
}

/* --- edits --- */

static void a_fresh_session_has_the_defaults(void **state)
{
    (void)state;
    struct bp_session s;
    assert_int_equal(bp_session_init(&s, "t.safetensors", NULL), BP_OK);
    assert_string_equal(s.table_path, "t.safetensors");
    assert_string_equal(s.table_fingerprint, "");
    assert_true(s.budget.asked == 0.0);
    assert_int_equal(s.constraints.n + s.n_bookmarks + s.n_view, 0);
    assert_int_equal(s.memory.card_bytes, UINT64_C(24) << 30);
    assert_null(bp_session_view(&s, "panel"));
    bp_session_done(&s);
}

static void every_edit_has_an_inverse(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    apply(&s, budget_edit(2.75));
    assert_true(s.budget.asked == 2.75 && s.budget.bits == 7);
    apply(&s, budget_edit(0.0));
    apply(&s, memory_edit(17));
    assert_int_equal(s.memory.context, 17);
    apply(&s, add_bookmark("first", BP_EDIT_LAST));
    apply(&s, add_bookmark("before it", 0));
    apply(&s, add_bookmark("between", 1));
    apply(&s, add_bookmark("behind", 3));
    assert_int_equal(s.n_bookmarks, 4);
    assert_int_equal(bp_session_find_bookmark(&s, "between"), 1);
    assert_int_equal(bp_session_find_bookmark(&s, "first"), 2);
    assert_int_equal(bp_session_find_bookmark(&s, "nowhere"), SIZE_MAX);
    assert_int_equal(s.bookmarks[3].choice[4], 5);
    apply(&s, removal(BP_EDIT_REMOVE_BOOKMARK, 1));
    apply(&s, removal(BP_EDIT_REMOVE_BOOKMARK, 2));
    apply(&s, removal(BP_EDIT_REMOVE_BOOKMARK, 0));
    assert_string_equal(s.bookmarks[0].name, "first");
    bp_session_done(&s);
}

static void constraints_stand_in_the_order_of_their_kinds(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    apply(&s, add_constraint(BP_CONSTRAINT_FLOOR, "f1", BP_EDIT_LAST));
    apply(&s, add_constraint(BP_CONSTRAINT_PIN, "p1", BP_EDIT_LAST));
    apply(&s, add_constraint(BP_CONSTRAINT_GRID, "g", BP_EDIT_LAST));
    apply(&s, add_constraint(BP_CONSTRAINT_WEIGHT, "w", BP_EDIT_LAST));
    apply(&s, add_constraint(BP_CONSTRAINT_PIN, "p2", BP_EDIT_LAST));
    apply(&s, add_constraint(BP_CONSTRAINT_PIN, "p0", 1));
    apply(&s, add_constraint(BP_CONSTRAINT_PIN, "p3", 4));
    static const char *const want[] = {"g", "p0", "p1", "p2", "p3", "f1", "w"};
    assert_int_equal(s.constraints.n, 7);
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(s.constraints.list[i].value, want[i]);
    refuses(&s, add_constraint(BP_CONSTRAINT_PIN, "p", 0), "--pin|place 0 of 7");
    refuses(&s, add_constraint(BP_CONSTRAINT_PIN, "p", 6), "--pin|place 6");
    refuses(&s, add_constraint(BP_CONSTRAINT_WEIGHT, "w", 8), "--weight|place 8");
    refuses(&s, add_constraint(BP_CONSTRAINT_WEIGHT, "w", BP_EDIT_LAST - 1), "--weight");
    apply(&s, removal(BP_EDIT_REMOVE_CONSTRAINT, 2));
    apply(&s, removal(BP_EDIT_REMOVE_CONSTRAINT, 5));
    apply(&s, removal(BP_EDIT_REMOVE_CONSTRAINT, 0));
    assert_string_equal(s.constraints.list[0].value, "p0");
    bp_session_done(&s);
}

static void edits_that_make_no_sense_change_nothing(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    struct bp_edit edit;
    apply(&s, add_bookmark("taken", BP_EDIT_LAST));
    refuses(&s, removal(BP_EDIT_REMOVE_CONSTRAINT, 0), "no constraint 0 of 0");
    refuses(&s, removal(BP_EDIT_REMOVE_CONSTRAINT, BP_EDIT_LAST), "no constraint");
    refuses(&s, removal(BP_EDIT_REMOVE_BOOKMARK, 1), "no bookmark 1 of 1");
    refuses(&s, add_bookmark("far", 2), "place 2 of 1");
    refuses(&s, add_bookmark("taken", BP_EDIT_LAST), "'taken' already");
    refuses(&s, add_bookmark("", BP_EDIT_LAST), "name");
    refuses(&s, add_bookmark("\xff", BP_EDIT_LAST), "UTF-8");
    refuses(&s, add_constraint(BP_CONSTRAINT_BAN, "\xc3(", BP_EDIT_LAST), "--ban|UTF-8");
    refuses(&s, budget_edit(NAN), "budget");
    refuses(&s, budget_edit(INFINITY), "budget");
    refuses(&s, budget_edit(-1.0), "budget");
    edit = memory_edit(1);
    edit.memory.kv_bits = 0;
    refuses(&s, edit, "kv-bits");
    edit = memory_edit(1);
    edit.memory.card_bytes = UINT64_MAX;
    refuses(&s, edit, "card");
    edit = add_bookmark("x", BP_EDIT_LAST);
    edit.bookmark.error = NAN;
    refuses(&s, edit, "error");
    edit = add_bookmark("x", BP_EDIT_LAST);
    edit.bookmark.budget.asked = 0.0;
    refuses(&s, edit, "budget");
    edit = add_bookmark("x", BP_EDIT_LAST);
    edit.bookmark.storage_bits = UINT64_C(1) << 53;
    refuses(&s, edit, "2^53");
    edit.bookmark.storage_bits = (UINT64_C(1) << 53) - 1;
    apply(&s, edit);
    edit = add_bookmark("y", BP_EDIT_LAST);
    edit.bookmark.choice = (uint32_t[]){0, UINT32_MAX};
    edit.bookmark.n_choice = 2;
    refuses(&s, edit, "candidate");
    bp_session_done(&s);
}

static void views_are_words_by_key(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    struct bp_err err = {""};
    assert_int_equal(bp_session_set_view(&s, "panel", "grid", &err), BP_OK);
    assert_int_equal(bp_session_set_view(&s, "cursor", "3,4", &err), BP_OK);
    assert_int_equal(bp_session_set_view(&s, "panel", "memory", &err), BP_OK);
    assert_string_equal(bp_session_view(&s, "panel"), "memory");
    assert_string_equal(bp_session_view(&s, "cursor"), "3,4");
    assert_int_equal(s.n_view, 2);
    assert_int_equal(bp_session_set_view(&s, "k", "\xff", &err), BP_ERR_USAGE);
    assert_int_equal(bp_session_set_view(&s, "\xff", "v", &err), BP_ERR_USAGE);
    support_says(err.text, "UTF-8");
    assert_int_equal(s.n_view, 2);
    bp_session_done(&s);
}

static void a_bookmark_fits_a_table_or_not(void **state)
{
    (void)state;
    struct bp_table table = {.n_matrices = 5, .n_candidates = 6};
    struct bp_edit edit = add_bookmark("x", BP_EDIT_LAST);
    assert_true(bp_bookmark_fits(&edit.bookmark, &table));
    table.n_candidates = 5;
    assert_false(bp_bookmark_fits(&edit.bookmark, &table));
    table = (struct bp_table){.n_matrices = 4, .n_candidates = 6};
    assert_false(bp_bookmark_fits(&edit.bookmark, &table));
}

/* --- undo --- */

static struct bp_history *new_history(void)
{
    struct bp_history *h;
    assert_int_equal(bp_history_new(&h, NULL), BP_OK);
    return h;
}

static void do_one(struct bp_history *h, struct bp_session *s, struct bp_edit edit, bool merge)
{
    struct bp_err err = {""};
    if (bp_history_do(h, s, &edit, 1, merge, &err))
        fail_msg("%s", err.text);
}

static void several_edits_are_one_step_or_none(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    struct bp_history *h = new_history();
    char *start = text_of(&s);
    struct bp_edit edits[] = {
        add_constraint(BP_CONSTRAINT_PIN, "a", BP_EDIT_LAST),
        add_constraint(BP_CONSTRAINT_PIN, "b", BP_EDIT_LAST),
        removal(BP_EDIT_REMOVE_CONSTRAINT, 0),
        add_bookmark("x", BP_EDIT_LAST),
        budget_edit(3.0),
        removal(BP_EDIT_REMOVE_BOOKMARK, 0),
        add_bookmark("x", BP_EDIT_LAST),
    };
    const size_t n = sizeof edits / sizeof *edits;
    assert_int_equal(bp_history_do(h, &s, edits, n, false, NULL), BP_OK);
    assert_int_equal(bp_history_undo_count(h), 1);
    char *end = text_of(&s);
    assert_true(bp_history_undo(h, &s));
    same_text(&s, start);
    assert_true(bp_history_redo(h, &s));
    same_text(&s, end);

    /* The last is refused: the whole step is taken back, removals included, and is no step. */
    edits[0] = removal(BP_EDIT_REMOVE_CONSTRAINT, 0);
    edits[3] = removal(BP_EDIT_REMOVE_BOOKMARK, 0);
    edits[5] = removal(BP_EDIT_REMOVE_CONSTRAINT, 5);
    struct bp_err err = {""};
    edits[2] = budget_edit(4.0);
    assert_int_equal(bp_history_do(h, &s, edits, n, false, &err), BP_ERR_USAGE);
    support_says(err.text, "no constraint 5");
    same_text(&s, end);
    assert_int_equal(bp_history_undo_count(h), 1);
    assert_int_equal(bp_history_do(h, &s, edits, 0, false, &err), BP_OK);
    assert_int_equal(bp_history_undo_count(h), 1);
    bp_history_free(h);
    bp_session_done(&s);
    free(start);
    free(end);
}

static void what_was_undone_is_forgotten_by_a_new_step_alone(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    struct bp_history *h = new_history();
    assert_false(bp_history_undo(h, &s));
    assert_false(bp_history_redo(h, &s));
    for (int i = 1; i <= 4; i++)
        do_one(h, &s, budget_edit(i), false);
    assert_true(bp_history_undo(h, &s) && bp_history_undo(h, &s));
    assert_true(s.budget.asked == 2.0);
    assert_int_equal(bp_history_undo_count(h), 2);
    assert_int_equal(bp_history_redo_count(h), 2);
    struct bp_edit bad = removal(BP_EDIT_REMOVE_BOOKMARK, 0);
    assert_int_equal(bp_history_do(h, &s, &bad, 1, false, NULL), BP_ERR_USAGE);
    assert_int_equal(bp_history_redo_count(h), 2);
    do_one(h, &s, budget_edit(9.0), false);
    assert_int_equal(bp_history_undo_count(h), 3);
    assert_int_equal(bp_history_redo_count(h), 0);
    assert_false(bp_history_redo(h, &s));
    assert_true(bp_history_undo(h, &s));
    assert_true(s.budget.asked == 2.0);
    bp_history_free(h);
    bp_session_done(&s);
    assert_null(bp_history_free(NULL));
}

static void a_held_key_is_one_step(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    struct bp_history *h = new_history();
    do_one(h, &s, budget_edit(1.0), false);
    for (int i = 2; i <= 1000; i++)
        do_one(h, &s, budget_edit(i), true);
    assert_int_equal(bp_history_undo_count(h), 2); /* the first did not merge */
    do_one(h, &s, memory_edit(5), true);           /* another kind */
    do_one(h, &s, memory_edit(6), true);
    do_one(h, &s, memory_edit(7), false); /* not merging */
    do_one(h, &s, memory_edit(8), true);  /* nothing merging before it */
    assert_int_equal(bp_history_undo_count(h), 5);
    assert_true(bp_history_undo(h, &s));
    assert_int_equal(s.memory.context, 7);
    assert_true(bp_history_undo(h, &s));
    assert_int_equal(s.memory.context, 6);
    assert_true(bp_history_undo(h, &s));
    assert_int_equal(s.memory.context, 4096);
    assert_true(bp_history_undo(h, &s));
    assert_true(s.budget.asked == 1.0);
    assert_true(bp_history_redo(h, &s));
    assert_true(s.budget.asked == 1000.0);
    do_one(h, &s, budget_edit(5.0), true); /* the key was let go in between */
    assert_int_equal(bp_history_undo_count(h), 3);
    do_one(h, &s, budget_edit(6.0), true);
    assert_int_equal(bp_history_undo_count(h), 3);
    assert_true(bp_history_undo(h, &s));
    assert_true(s.budget.asked == 1000.0);
    bp_history_free(h);
    bp_session_done(&s);
}

/* A slider over a floor: each step of it takes the old one away and puts a new one in. */
static void steps_of_several_edits_merge(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    struct bp_history *h = new_history();
    do_one(h, &s, add_constraint(BP_CONSTRAINT_FLOOR, "q=2", BP_EDIT_LAST), false);
    char *start = text_of(&s);
    for (int i = 0; i < 50; i++) {
        char value[16];
        snprintf(value, sizeof value, "q=%d", i);
        struct bp_edit edits[] = {removal(BP_EDIT_REMOVE_CONSTRAINT, 0), budget_edit(i + 1),
                                  add_constraint(BP_CONSTRAINT_FLOOR, value, BP_EDIT_LAST)};
        assert_int_equal(bp_history_do(h, &s, edits, 3, true, NULL), BP_OK);
    }
    char *end = text_of(&s);
    assert_int_equal(bp_history_undo_count(h), 2);
    for (int i = 0; i < 3; i++) {
        assert_true(bp_history_undo(h, &s));
        same_text(&s, start);
        assert_true(bp_history_redo(h, &s));
        same_text(&s, end);
    }
    free(start);
    free(end);
    bp_history_free(h);
    bp_session_done(&s);
}

static void changed_is_told_from_the_saved_state(void **state)
{
    (void)state;
    struct bp_session s = fresh();
    struct bp_history *h = new_history();
    assert_false(bp_history_changed(h));
    do_one(h, &s, budget_edit(1.0), true);
    assert_true(bp_history_changed(h));
    assert_true(bp_history_undo(h, &s));
    assert_false(bp_history_changed(h));
    assert_true(bp_history_redo(h, &s));
    assert_true(bp_history_changed(h));
    bp_history_mark_saved(h);
    assert_false(bp_history_changed(h));
    /* A merging edit behind a save is a step of its own, so the saved state can be come back to. */
    do_one(h, &s, budget_edit(2.0), true);
    assert_true(bp_history_changed(h));
    assert_true(bp_history_undo(h, &s));
    assert_false(bp_history_changed(h));
    assert_true(s.budget.asked == 1.0);
    /* Undone beyond the saved state and edited anew, it cannot: as many steps, another state. */
    assert_true(bp_history_undo(h, &s));
    assert_true(bp_history_changed(h));
    do_one(h, &s, budget_edit(7.0), false);
    assert_true(bp_history_changed(h));
    assert_true(bp_history_undo(h, &s));
    assert_true(bp_history_changed(h));
    bp_history_mark_saved(h);
    assert_false(bp_history_changed(h));
    assert_true(bp_history_redo(h, &s));
    assert_true(bp_history_changed(h));
    bp_history_free(h);
    bp_session_done(&s);
}

/* A random edit that may or may not be one that is refused. `text` [32] is what it borrows. */
static struct bp_edit random_edit(struct support_rng *g, const struct bp_session *s, char *text)
{
    const size_t constraint = (size_t)support_below(g, s->constraints.n + 1);
    const size_t bookmark = (size_t)support_below(g, s->n_bookmarks + 2);
    snprintf(text, 32, "%d\"\\\xc3\xa9", (int)support_below(g, 40));
    switch (support_below(g, 9)) {
    case 0:
        return budget_edit(support_unit(g) * 8.0);
    case 1:
        return memory_edit(support_below(g, 100));
    case 2:
        return add_constraint((enum bp_constraint_kind)support_below(g, BP_N_CONSTRAINT_KINDS),
                              text, constraint);
    case 3:
    case 4:
        return add_constraint((enum bp_constraint_kind)support_below(g, BP_N_CONSTRAINT_KINDS),
                              text, BP_EDIT_LAST);
    case 5:
        return removal(BP_EDIT_REMOVE_CONSTRAINT, constraint);
    case 6:
        return add_bookmark(text, bookmark);
    case 7:
        return add_bookmark(text, BP_EDIT_LAST);
    default:
        return removal(BP_EDIT_REMOVE_BOOKMARK, bookmark);
    }
}

/* Some thousand random steps with undo, redo and saves between them: each state that undo and redo
 * come to has the text that it had, and counts as changed when it is not the one that was saved. */
static void undo_and_redo_restore_every_state(void **state)
{
    (void)state;
    enum { ROUNDS = 4000, BATCH = 4 };
    struct support_rng g = {20240607};
    struct bp_session s = fresh();
    struct bp_history *h = new_history();
    char **texts = calloc(ROUNDS + 1, sizeof *texts); /* of the state behind each step */
    assert_non_null(texts);
    size_t at = 0, saved = 0, n_merged = 0, n_refused = 0;
    bool saved_there = true;
    texts[0] = text_of(&s);
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t what = support_below(&g, 20);
        if (what < 3) {
            assert_int_equal(bp_history_undo(h, &s), at > 0);
            at -= at > 0;
        } else if (what < 5) {
            const bool more = bp_history_redo_count(h) > 0;
            assert_int_equal(bp_history_redo(h, &s), more);
            at += more;
        } else if (what == 5) {
            bp_history_mark_saved(h);
            saved = at;
            saved_there = true;
        } else {
            char borrowed[BATCH][32];
            struct bp_edit edits[BATCH];
            const size_t n = 1 + (size_t)support_below(&g, BATCH), before = at;
            for (size_t i = 0; i < n; i++)
                edits[i] = random_edit(&g, &s, borrowed[i]);
            const bool held = support_below(&g, 2) == 0; /* a key, on the slider */
            if (held)
                edits[0] = budget_edit(support_unit(&g));
            if (bp_history_do(h, &s, edits, n, held, NULL) == BP_OK) {
                at = bp_history_undo_count(h);
                n_merged += at == before;
                saved_there &= saved <= before && (saved < at);
                free(texts[at]);
                texts[at] = text_of(&s);
            } else {
                n_refused++;
            }
        }
        assert_int_equal(bp_history_undo_count(h), at);
        assert_int_equal(bp_history_changed(h), !(saved_there && saved == at));
        if (round % 4 == 0)
            same_text(&s, texts[at]);
    }
    assert_true(n_merged > 50 && n_refused > 50 && at > 50);
    const size_t end = at + bp_history_redo_count(h);
    while (bp_history_redo(h, &s))
        same_text(&s, texts[++at]);
    assert_int_equal(at, end);
    while (bp_history_undo(h, &s))
        same_text(&s, texts[--at]);
    assert_int_equal(at, 0);
    while (bp_history_redo(h, &s))
        at++;
    same_text(&s, texts[end]);
    for (size_t i = 0; i <= ROUNDS; i++)
        free(texts[i]);
    free(texts);
    bp_history_free(h);
    bp_session_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_session_has_the_defaults),
        cmocka_unit_test(every_edit_has_an_inverse),
        cmocka_unit_test(constraints_stand_in_the_order_of_their_kinds),
        cmocka_unit_test(edits_that_make_no_sense_change_nothing),
        cmocka_unit_test(views_are_words_by_key),
        cmocka_unit_test(a_bookmark_fits_a_table_or_not),
        cmocka_unit_test(several_edits_are_one_step_or_none),
        cmocka_unit_test(what_was_undone_is_forgotten_by_a_new_step_alone),
        cmocka_unit_test(a_held_key_is_one_step),
        cmocka_unit_test(steps_of_several_edits_merge),
        cmocka_unit_test(changed_is_told_from_the_saved_state),
        cmocka_unit_test(undo_and_redo_restore_every_state),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
