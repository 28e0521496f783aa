/* The workbench without a terminal: what events do to the document and the view, frame by frame
 * under a storm of random events, and one by one. */
#include "plan_tables.h"

#include "engine/sample.h"
#include "ui/app.h"
#include "ui/script.h"
#include "ui/view.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { N_EVENTS = 100000 };
#else
enum { N_EVENTS = 100000 };
#endif

static char *folder;
static struct bp_app app;
static struct bp_cells cells;

/* A table on which a fifth of the rows, with `partial`, are not measured. */
static void write_table(const char *file, bool partial)
{
    struct bp_table *t = usual(7);
    if (partial)
        for (size_t j = 0; j < C; j++)
            ((double *)t->copies[SUPPORT_ERROR])[1 * C + j] = NAN;
    struct bp_err err = {""};
    struct bp_table *made;
    struct bp_table_writer *writer;
    if (bp_table_create(t, file, true, &err) || bp_table_open(file, &made, &err) ||
        bp_table_writer_open(made, &writer, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < N; i++) {
        struct bp_table_row row = {t->error + i * C, t->iterations + i * C,
                                   t->baseline_error + i * BP_N_BASELINES, t->norm[i], NULL};
        if (!isnan(t->error[i * C]))
            assert_int_equal(bp_table_writer_put(writer, i, &row, &err), BP_OK);
    }
    assert_int_equal(bp_table_writer_close(writer, &err), BP_OK);
    bp_table_close(made);
    bp_table_close(t);
}

static int set_up(void **state)
{
    (void)state;
    folder = test_dir_make();
    assert_int_equal(chdir(folder), 0); /* whatever is written is written here */
    write_table("t.safetensors", false);
    write_table("part.safetensors", true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bp_app_done(&app);
    bp_cells_done(&cells);
    assert_int_equal(chdir("/"), 0);
    test_dir_remove(folder);
    return 0;
}

static void start(const char *path)
{
    struct bp_err err = {""};
    const struct bp_app_options options = {.path = path, .cols = 120, .rows = 40};
    if (bp_app_init(&app, &options, &err) != BP_OK)
        fail_msg("%s", err.text);
    bp_app_wait_settled(&app, false);
}

/* --- the storm -------------------------------------------------------------------------------- */

static struct support_rng dice;

static uint32_t below(uint32_t n)
{
    return (uint32_t)support_below(&dice, n);
}

static const char *one_of(const char *const *words, size_t n)
{
    return words[below((uint32_t)n)];
}
#define ONE_OF(words) one_of(words, sizeof(words) / sizeof *(words))

static void feed(struct bp_event event)
{
    bp_app_update(&app, &event);
}

static void feed_key(uint32_t key)
{
    feed((struct bp_event){.kind = BP_EVENT_KEY, .key = key});
}

static uint32_t random_key(void)
{
    static const uint32_t modifiers[] = {0, 0, 0, BP_SHIFT, BP_CTRL, BP_ALT};
    switch (below(6)) {
    case 0: /* named */
        return modifiers[below(6)] |
               (BP_KEY_NAMED + below((uint32_t)BP_KEY_END_OF_NAMES - BP_KEY_NAMED));
    case 1: /* a character */
        return below(20) ? 0x20 + below(0x5F) : below(0x110000);
    case 2:
        return BP_CTRL | ('a' + below(26));
    default: /* one that does something */
        return app.keymap.at[below((uint32_t)app.keymap.n)].key;
    }
}

static void random_mouse(void)
{
    feed((struct bp_event){.kind = BP_EVENT_MOUSE,
                           .mouse = (enum bp_mouse)below(4),
                           .x = (int)below((uint32_t)app.cols + 2),
                           .y = (int)below((uint32_t)app.rows + 2),
                           .wheel = below(2) ? 1 : -1});
}

/* All sizes happen, those that people have the most. */
static void random_size(void)
{
    const bool any = below(4) == 0;
    feed((struct bp_event){.kind = BP_EVENT_RESIZE,
                           .x = any ? 1 + (int)below(300) : 60 + (int)below(80),
                           .y = any ? 1 + (int)below(100) : 17 + (int)below(30)});
}

/* A line that may make sense. Files are those of the test's folder. */
static void random_line(char *line, size_t n)
{
    static const char *const words[] = {
        "bits",   "size",    "total",  "grid", "pin",  "ban",  "floor",  "ceil",     "tie",
        "weight", "free",    "card",   "set",  "find", "show", "metric", "bookmark", "go",
        "rename", "compare", "forget", "undo", "redo", "help", "bi",     "zzz"};
    static const char *const arguments[] = {"",
                                            "2.5",
                                            "3",
                                            "4.5",
                                            "0",
                                            "-1",
                                            "1e9",
                                            "3000",
                                            "1GiB",
                                            "1MiB",
                                            "all",
                                            "nf4",
                                            "b0=3,4",
                                            "b0=2:b1=2",
                                            "qkv",
                                            "layer",
                                            "kind",
                                            "pair=q_proj|k_proj",
                                            "q_proj=4",
                                            "q_proj=nf4:*:*:*:*",
                                            "v=nf3:u4:fp16:32:64",
                                            ".*=3",
                                            ".*=2.2",
                                            "[=3",
                                            "q_proj=0",
                                            "memory",
                                            "map",
                                            "price",
                                            "share",
                                            "a",
                                            "b c",
                                            "a b",
                                            "\xC3\xA9",
                                            "\xFF",
                                            "context 512",
                                            "batch 4",
                                            "context 0",
                                            "kv-bits 8",
                                            "1",
                                            "24GiB",
                                            "train-batch 2"};
    static const char *const files[] = {"save s.json",         "save! s.json",
                                        "save t.safetensors",  "export p.json",
                                        "export! p.csv",       "export",
                                        "open! t.safetensors", "open! s.json",
                                        "open nothing",        "open! part.safetensors"};
    if (below(12) == 0)
        snprintf(line, n, "%s", ONE_OF(files));
    else
        snprintf(line, n, "%s%s %s", ONE_OF(words), below(9) ? "" : "!", ONE_OF(arguments));
}

static void paint(void)
{
    assert_true(bp_cells_resize(&cells, app.cols, app.rows));
    bp_app_render(&app, &cells);
}

/* What must hold after every event. */
static void check_app(void)
{
    const struct bp_layout l = bp_app_layout(&app);
    assert_true(app.view.row < app.source->table->n_matrices);
    assert_true(app.view.compare < (int)app.session.n_bookmarks);
    assert_true(app.view.open_layer < (int)app.map.n_layers);
    if (l.screen != BP_SCREEN_CARD)
        assert_true(bp_layout_shows(&l, app.view.focus));
    if (app.plan)
        assert_true(app.plan->storage_bits <= app.plan->budget.bits);
    if (app.plan && app.answered == app.asked)
        assert_true(app.plan->storage_bits <= app.session.budget.bits);
    paint();
}

static char *document(void)
{
    char *text = bp_session_text(&app.session, NULL);
    assert_non_null(text);
    return text;
}

static void act_until_nothing(enum bp_action action)
{
    size_t left = bp_history_undo_count(app.history) + bp_history_redo_count(app.history);
    for (; left > 0; left--)
        bp_app_act(&app, action, 1.0);
    bp_app_wait_settled(&app, false);
}

/* From the end to the start and back: document and plan are the same. */
static void check_undo(void)
{
    act_until_nothing(BP_ACTION_REDO);
    char *end = document();
    const double error = app.plan ? app.plan->objective : -1.0;
    const uint64_t bits = app.plan ? app.plan->storage_bits : 0;
    act_until_nothing(BP_ACTION_UNDO);
    assert_int_equal(bp_history_undo_count(app.history), 0);
    act_until_nothing(BP_ACTION_REDO);
    char *again = document();
    assert_string_equal(again, end);
    assert_true((app.plan ? app.plan->objective : -1.0) == error);
    assert_true((app.plan ? app.plan->storage_bits : 0) == bits);
    free(end);
    free(again);
}

/* The characters of a line, each an event. */
static int type_line(const char *line)
{
    int n = 0;
    feed_key(BP_KEY_ESCAPE);
    feed_key(BP_KEY_ESCAPE);
    feed_key(':');
    for (; *line; line++, n++) {
        feed_key((unsigned char)*line);
        check_app();
    }
    feed_key(BP_KEY_ENTER);
    check_app();
    return n + 4;
}

static void any_events_leave_a_sound_document_and_a_frame(void **state)
{
    char line[256];
    (void)state;
    dice.state = 2311;
    start("t.safetensors");
    for (int i = 0, next_settling = 0, next_undo = 2000; i < N_EVENTS; i++) {
        const uint32_t kind = below(100);
        if (kind < 70) {
            feed_key(random_key());
        } else if (kind < 90) {
            random_mouse();
        } else if (kind < 94) {
            random_size();
        } else if (kind < 96) {
            bp_app_news(&app);
        } else if (kind < 98) {
            random_line(line, sizeof line);
            i += type_line(line);
        } else {
            random_line(line, sizeof line);
            bp_app_command(&app, line);
        }
        check_app();
        if (i >= next_settling) {
            bp_app_wait_settled(&app, false);
            check_app();
            next_settling = i + 300;
        }
        if (i >= next_undo) {
            check_undo();
            next_undo = i + 5000;
        }
    }
    check_undo();
}

/* Nothing is measured yet: no table, no plan, but everything can be hit. */
static void before_the_first_row_everything_can_be_hit(void **state)
{
    struct bp_err err = {""};
    struct bp_sample_options sample = {0};
    (void)state;
    assert_int_equal(bp_sample_shapes("tiny", &sample, &err), BP_OK);
    sample.layers = 1;
    assert_int_equal(bp_sample_write("model", &sample, NULL, NULL, &err), BP_OK);
    const struct bp_app_options options = {.path = "model",
                                           .table_path = "measured.safetensors",
                                           .grid = "b0=3:b1=4:b2=bf16:B0=64:B1=256",
                                           .rank = 2,
                                           .threads = 1,
                                           .cols = 200,
                                           .rows = 60};
    if (bp_app_init(&app, &options, &err) != BP_OK)
        fail_msg("%s", err.text);
    assert_null(app.source); /* news are not taken */
    bp_app_command(&app, "pin q_proj=nf3:*:*:*:*");
    bp_app_command(&app, "bits 3");
    for (int panel = 0; panel < BP_N_PANELS; panel++)
        for (int a = 0; a < BP_N_ACTIONS; a++) {
            app.view.focus = (enum bp_panel)panel;
            bp_app_act(&app, (enum bp_action)a, 1.0);
            paint();
            if (app.prompt.kind != BP_PROMPT_NONE)
                feed_key(BP_KEY_ENTER);
            bp_prompt_close(&app.prompt);
            app.view.help = false;
            paint();
        }
    dice.state = 5;
    for (int i = 0; i < 2000; i++) {
        random_mouse();
        paint();
    }
    bp_app_wait_settled(&app, true);
    assert_non_null(app.plan);
    paint();
}

/* --- one by one ------------------------------------------------------------------------------- */

/* Words of a script, each until all is solved. */
static void play(const char *words)
{
    struct bp_err err = {""};
    if (bp_script_run(&app, &cells, words, NULL, &err) != BP_OK)
        fail_msg("%s", err.text);
}

static void command(const char *line)
{
    bp_app_command(&app, line);
    bp_app_wait_settled(&app, false);
    paint();
}

static void expect_target(double bits)
{
    assert_int_equal(app.session.budget.unit, BP_BUDGET_BITS_PER_PARAM);
    if (fabs(app.session.budget.asked - bits) > 1e-9)
        fail_msg("target %.6f, wanted %.6f", app.session.budget.asked, bits);
    assert_true(app.settled);
}

static bool on_screen(const char *text)
{
    paint();
    char *dump = bp_cells_dump(&cells);
    assert_non_null(dump);
    const bool found = strstr(dump, text) != NULL;
    free(dump);
    return found;
}

static bool role_on_screen(unsigned role)
{
    paint();
    for (int i = 0; i < cells.cols * cells.rows; i++)
        if (cells.at[i].role == role)
            return true;
    return false;
}

static void start_at(const char *bits)
{
    char line[64];
    start("t.safetensors");
    snprintf(line, sizeof line, "bits %s", bits);
    command(line);
    assert_non_null(app.plan);
}

static void steps_and_counts_move_the_budget(void **state)
{
    (void)state;
    start_at("3.004");
    play("Right");
    expect_target(3.01); /* the next multiple, from wherever it was */
    play("Right Right Left");
    expect_target(3.02);
    play("S-Right");
    expect_target(3.1);
    play(". ,");
    expect_target(3.1);
    play("C-Right C-Right C-Left");
    expect_target(3.101);
    play("5 Left");
    expect_target(3.06);
    play("1 2 Right");
    expect_target(3.18);
    play("2 Esc Right"); /* the count was given up */
    expect_target(3.19);
    const double params = (double)bp_app_params(&app);
    play("Home");
    assert_true(app.plan && app.session.budget.bits >= app.problem->least_bits);
    expect_target(ceil((double)app.problem->least_bits / params * 1e4) / 1e4);
    play("Left");
    expect_target(ceil((double)app.problem->least_bits / params * 1e4) / 1e4);
    play("End");
    expect_target(ceil((double)app.problem->most_bits / params * 1e4) / 1e4);
    assert_true(app.plan->certificate.optimal);
}

static void budgets_are_typed_in_bits_bytes_and_in_all(void **state)
{
    (void)state;
    start_at("3");
    play("3 . 2 5 Enter");
    expect_target(3.25);
    play("4 0 0 0 B Enter");
    assert_int_equal(app.session.budget.unit, BP_BUDGET_BYTES);
    assert_int_equal(app.session.budget.bits, 32000);
    assert_true(app.plan && app.plan->storage_bits <= 32000);
    command("size 3.5KiB");
    assert_int_equal(app.session.budget.bits, 3584 * 8);
    command("total 1GiB");
    assert_int_equal(app.session.budget.unit, BP_BUDGET_TOTAL_BYTES);
    assert_true(app.plan && app.plan->certificate.optimal);
    const uint64_t before = app.session.budget.bits;
    command("card 16GiB"); /* what is outside has not changed */
    assert_int_equal(app.session.budget.bits, before);
    play("u u u");
    assert_int_equal(app.session.budget.bits, 32000);
}

static void a_finger_on_a_key_is_one_step_of_undo(void **state)
{
    (void)state;
    start_at("3");
    const size_t before = bp_history_undo_count(app.history);
    play("Right Right Right Right S-Right");
    assert_int_equal(bp_history_undo_count(app.history), before + 1);
    play("p Right");
    assert_int_equal(bp_history_undo_count(app.history), before + 3);
    play("u u u");
    expect_target(3.0);
    assert_int_equal(app.session.constraints.n, 0);
    play("U");
    expect_target(3.1);
    play("C-r C-r U");
    expect_target(3.11);
    assert_int_equal(app.session.constraints.n, 1);
    assert_true(on_screen("nothing to redo"));
}

static uint32_t choice_of(size_t row)
{
    return app.plan->choice[bp_app_part(&app, row)];
}

static void the_matrix_under_the_cursor_is_pinned_banned_and_bounded(void **state)
{
    (void)state;
    start_at("3");
    const uint32_t was = choice_of(0);
    play("p");
    assert_int_equal(app.session.constraints.list[0].kind, BP_CONSTRAINT_PIN);
    play("S-Right S-Right S-Right S-Right S-Right");
    assert_int_equal(choice_of(0), was);
    play("p");
    assert_int_equal(app.session.constraints.n, 0);
    play("2 . 9 Enter x");
    assert_int_equal(app.session.constraints.list[0].kind, BP_CONSTRAINT_BAN);
    for (int i = 0; i < 8; i++)
        play("Left");
    const uint32_t banned = was;
    assert_true(choice_of(0) != banned || app.session.constraints.n == 0);
    play("X F L");
    assert_int_equal(app.session.constraints.n, 2);
    const double bits = bp_app_metric(&app, BP_METRIC_BITS, 0);
    play("S-Right S-Right S-Right");
    assert_true(fabs(bp_app_metric(&app, BP_METRIC_BITS, 0) - bits) < 2e-4);
    play("F");
    assert_int_equal(app.session.constraints.n, 1);
    play("X");
    assert_int_equal(app.session.constraints.n, 0);
}

static void ties_go_round(void **state)
{
    (void)state;
    start_at("3");
    play("t");
    assert_string_equal(app.session.constraints.list[0].value, "qkv");
    assert_true(choice_of(0) == choice_of(1) && choice_of(1) == choice_of(2));
    int steps = 0;
    for (; app.session.constraints.n > 0 && steps < 10; steps++) {
        play("t");
        assert_true(app.session.constraints.n <= 1);
    }
    assert_in_range(steps, 2, 5); /* groups that the model lacks are passed over */
    assert_int_equal(app.session.constraints.n, 0);
}

static void what_is_refused_changes_nothing(void **state)
{
    static const char *const lines[] = {"pin q_proj=nf9:*:*:*:*",
                                        "pin nothing",
                                        "pin no_such=nf4:*:*:*:*",
                                        "ban .*=*:*:*:*:*",
                                        "floor .*=100",
                                        "ceil .*=1",
                                        "grid b0=7",
                                        "grid b0=",
                                        "tie sideways",
                                        "tie x=(",
                                        "weight q_proj=-1",
                                        "bits none",
                                        "size -3",
                                        "total 1",
                                        "set context none",
                                        "set colour 3",
                                        "card 0",
                                        "free 9",
                                        "go nowhere",
                                        "forget nobody",
                                        "rename a b",
                                        "metric love",
                                        "show me",
                                        "bookmark",
                                        "save",
                                        "open nothing.json"};
    (void)state;
    start_at("3");
    char *before = document();
    const size_t steps = bp_history_undo_count(app.history);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        app.message[0] = '\0';
        command(lines[i]);
        char *after = document();
        if (strcmp(before, after) != 0)
            fail_msg("'%s' has changed the document", lines[i]);
        free(after);
        if (!app.message[0])
            fail_msg("'%s' was not refused", lines[i]);
        assert_true(app.message_role == BP_ROLE_ERROR || app.message_role == BP_ROLE_WARNING);
        assert_int_equal(bp_history_undo_count(app.history), steps);
        assert_non_null(app.plan);
    }
    free(before);
}

static void finding_goes_round(void **state)
{
    (void)state;
    start_at("3");
    play("/ \"V_PROJ\" Enter");
    assert_int_equal(app.view.row, 2);
    play("/ \"attn\" Enter");
    assert_int_equal(app.view.row, 2); /* it matches where the cursor is */
    play("n");
    assert_int_equal(app.view.row, 3);
    play("n");
    assert_int_equal(app.view.row, 0);
    play("N N");
    assert_int_equal(app.view.row, 2);
    play("/ \"nothing\" Enter");
    assert_int_equal(app.view.row, 2);
    assert_int_equal(app.message_role, BP_ROLE_WARNING);
    play("/ \"(\" Enter");
    assert_int_equal(app.message_role, BP_ROLE_ERROR);
}

static void plans_are_kept_compared_renamed_and_forgotten(void **state)
{
    (void)state;
    start_at("3");
    play("b Enter"); /* under the name that is offered */
    assert_int_equal(app.session.n_bookmarks, 1);
    command("rename missing x");
    command("bookmark first one");
    play("S-Right p");
    command("bookmark second");
    command("bookmark second"); /* taken */
    assert_int_equal(app.session.n_bookmarks, 3);
    assert_int_equal(app.message_role, BP_ROLE_ERROR);
    command("compare first one");
    assert_int_equal(app.view.compare, 1);
    assert_true(on_screen("first one"));
    play("Esc");
    assert_int_equal(app.view.compare, -1);
    command("go first one");
    expect_target(3.0);
    assert_int_equal(app.session.constraints.n, 0);
    play("u");
    expect_target(3.1);
    assert_int_equal(app.session.constraints.n, 1);
    command("rename first one the first");
    assert_string_equal(app.session.bookmarks[1].name, "the first");
    command("forget the first");
    assert_int_equal(app.session.n_bookmarks, 2);
    play("u");
    assert_string_equal(app.session.bookmarks[1].name, "the first");
    play("B Down D"); /* the selected one of the panel */
    assert_int_equal(app.session.n_bookmarks, 2);
}

static void tab_completes(void **state)
{
    (void)state;
    start_at("3");
    play(": \"gr\" Tab");
    assert_string_equal(app.prompt.text, "grid ");
    play("C-u \"metric s\" Tab");
    assert_string_equal(app.prompt.text, "metric share");
    play("C-u \"b\" Tab"); /* bits, ban, bookmark */
    assert_string_equal(app.prompt.text, "b");
    assert_true(strstr(app.message, "bookmark") && strstr(app.message, "ban"));
    play("C-u \"open t\" Tab");
    assert_string_equal(app.prompt.text, "open t.safetensors");
    play("C-u \"pin q\" Tab");
    assert_string_equal(app.prompt.text, "pin q_proj");
    play("C-u \"zzz\" Tab \"y x\" Tab");
    assert_string_equal(app.prompt.text, "zzzy x");
}

static void the_command_line_recalls(void **state)
{
    (void)state;
    start_at("3");
    play(": \"bits 3.1\" Enter : \"bits 3.2\" Enter : \"bits 3.2\" Enter");
    assert_int_equal(app.n_history_lines, 2);
    play(": Up");
    assert_string_equal(app.prompt.text, "bits 3.2");
    play("Up Up");
    assert_string_equal(app.prompt.text, "bits 3.1");
    play("Down Down Down");
    assert_string_equal(app.prompt.text, "");
    play("Up Enter");
    expect_target(3.2);
    play(": Backspace"); /* an empty line is left */
    assert_int_equal(app.prompt.kind, BP_PROMPT_NONE);
}

static void the_largest_budget_that_fits_the_card(void **state)
{
    (void)state;
    start_at("3");
    play("f");
    assert_int_equal(app.session.budget.unit, BP_BUDGET_TOTAL_BYTES);
    assert_true(app.plan && app.plan->certificate.optimal);
    assert_int_equal(app.message_role, BP_ROLE_GOOD);
    play("u");
    expect_target(3.0);
}

static void a_table_in_part_is_planned_in_part(void **state)
{
    (void)state;
    start("part.safetensors");
    assert_non_null(app.plan);
    assert_int_equal(app.plan->table->n_matrices, N - 1);
    assert_int_equal(bp_app_part(&app, 1), BP_NO_ROW);
    assert_true(isnan(bp_app_metric(&app, BP_METRIC_BITS, 1)));
    assert_true(role_on_screen(BP_ROLE_HATCHED));
    command("find k_proj");
    assert_int_equal(app.view.row, 1);
    const size_t steps = bp_history_undo_count(app.history);
    play("p x F L X i"); /* nothing to pin */
    assert_int_equal(bp_history_undo_count(app.history), steps);
    command("find v_proj");
    play("p");
    assert_int_equal(app.session.constraints.n, 1);
    command("bookmark of the part");
    command("compare of the part");
    play("a v v v v v");
}

static void a_budget_that_nothing_fits_is_said_and_taken_back(void **state)
{
    (void)state;
    start_at("3");
    command("bits 1.0001");
    assert_null(app.plan);
    assert_true(on_screen("below the least"));
    play("v v c i m g B b e Enter a");
    assert_null(app.plan);
    play("u");
    expect_target(3.0);
    assert_non_null(app.plan);
    command("bits 1.5");
    play("Right"); /* up into what makes sense */
    assert_non_null(app.plan);
}

static void the_panel_with_the_keys_stays_on_the_screen(void **state)
{
    (void)state;
    start_at("3");
    play("size:200x60 m");
    assert_int_equal(app.view.page, BP_PANEL_MAP); /* all show */
    play("size:80x24");
    assert_int_equal(app.view.page, BP_PANEL_MEMORY);
    play("size:10x5 size:80x24");
    assert_int_equal(app.view.focus, BP_PANEL_MEMORY);
}

static void leaving_asks_only_when_something_would_be_lost(void **state)
{
    const struct bp_event stop = {.kind = BP_EVENT_STOP};
    (void)state;
    start("t.safetensors");
    assert_true(bp_app_act(&app, BP_ACTION_QUIT, 1.0) & BP_FLAG_QUIT);
    play("p");
    assert_false(bp_app_act(&app, BP_ACTION_QUIT, 1.0) & BP_FLAG_QUIT);
    assert_int_equal(app.prompt.kind, BP_PROMPT_LEAVE);
    play("z");
    assert_int_equal(app.prompt.kind, BP_PROMPT_NONE);
    command("save s.json");
    assert_true(bp_app_act(&app, BP_ACTION_QUIT, 1.0) & BP_FLAG_QUIT);
    play("p");
    command("open t.safetensors");
    assert_int_equal(app.message_role, BP_ROLE_ERROR);
    command("open! s.json");
    assert_int_equal(app.session.constraints.n, 1);
    assert_true(bp_app_update(&app, &stop) & BP_FLAG_QUIT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(steps_and_counts_move_the_budget),
        TEST(budgets_are_typed_in_bits_bytes_and_in_all),
        TEST(a_finger_on_a_key_is_one_step_of_undo),
        TEST(the_matrix_under_the_cursor_is_pinned_banned_and_bounded),
        TEST(ties_go_round),
        TEST(what_is_refused_changes_nothing),
        TEST(finding_goes_round),
        TEST(plans_are_kept_compared_renamed_and_forgotten),
        TEST(tab_completes),
        TEST(the_command_line_recalls),
        TEST(the_largest_budget_that_fits_the_card),
        TEST(a_table_in_part_is_planned_in_part),
        TEST(a_budget_that_nothing_fits_is_said_and_taken_back),
        TEST(the_panel_with_the_keys_stays_on_the_screen),
        TEST(leaving_asks_only_when_something_would_be_lost),
        TEST(before_the_first_row_everything_can_be_hit),
        TEST(any_events_leave_a_sound_document_and_a_frame),
    };
    return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
