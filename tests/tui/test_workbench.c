/* The program itself on a terminal: keys and mouse move the budget, sizes change, jobs stop,
 * signals and crashes end it, files are saved and opened, a model is measured. Every run has
 * folders of its own. */
#include "../unit/support.h"

#include <glob.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "ui/view.h"
#include "vt.h"

enum { LIMIT = VT_LIMIT_MS, QUIET_MS = 40, COLS = 120, ROWS = 36 };

static char program[4096], table[4096];
static char *folder;  /* of the test that runs */
static char *session; /* in it, of the table, at 2.76 bits/param: what a test begins with */
static char *session_text;
static char settings[6][4400];

static int set_up(void **state)
{
    (void)state;
    folder = test_dir_make();
    session = test_dir_join(folder, "session.json");
    test_dir_write_text(folder, "session.json", session_text);
    snprintf(settings[0], sizeof settings[0], "HOME=%s", folder);
    snprintf(settings[1], sizeof settings[1], "XDG_STATE_HOME=%s/state", folder);
    snprintf(settings[2], sizeof settings[2], "XDG_CONFIG_HOME=%s/settings", folder);
    snprintf(settings[3], sizeof settings[3],
             "ASAN_OPTIONS=handle_segv=0:handle_abort=0:handle_sigbus=0:log_path=%s/asan", folder);
    snprintf(settings[4], sizeof settings[4], "OPENBLAS_NUM_THREADS=1");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(session);
    test_dir_remove(folder);
    return 0;
}

/* --- helpers ---------------------------------------------------------------------------------- */

struct start {
    const char *term, *more; /* NULL: xterm-256color, no more environment */
    int cols, rows;          /* 0: 120 x 36 */
    bool job;
};

/* Starts the program on a file with up to six more arguments, the last of which is NULL. */
static struct vt *open_with(struct start s, const char *file, const char *const more[])
{
    const char *const env[] = {settings[0], settings[1], settings[2], settings[3],
                               settings[4], s.more,      NULL};
    const struct vt_options options = {.term = s.term ? s.term : "xterm-256color",
                                       .cols = s.cols ? s.cols : COLS,
                                       .rows = s.rows ? s.rows : ROWS,
                                       .env = env,
                                       .job = s.job};
    const char *argv[9] = {program, file};
    for (int i = 0; more && more[i]; i++)
        argv[2 + i] = more[i];
    return vt_open(&options, argv);
}

static void show_and_fail(struct vt *vt, const char *what, const char *text)
{
    vt_show(vt);
    fail_msg("%s \"%s\"", what, text);
}

static void expect_text(struct vt *vt, const char *text)
{
    if (!vt_wait_text(vt, text, LIMIT))
        show_and_fail(vt, "never saw", text);
}

/* Until the text stands there with a plan that is proved, and nothing more comes. */
static void expect_solved(struct vt *vt, const char *text)
{
    for (int i = 0; i < 3 * LIMIT / QUIET_MS; i++) {
        const bool there = vt_has(vt, text) && vt_has(vt, "optimal, proved");
        if (!vt_pump(vt, QUIET_MS) && (there || vt->ended))
            break;
    }
    if (!vt_has(vt, text) || !vt_has(vt, "optimal, proved"))
        show_and_fail(vt, "no proved plan with", text);
}

static struct vt *start_on(const char *file, const char *text)
{
    struct vt *vt = open_with((struct start){0}, file, NULL);
    expect_solved(vt, text);
    return vt;
}

static struct vt *start(void)
{
    return start_on(session, "target 2.7600");
}

static void right(struct vt *vt, int n)
{
    for (int i = 0; i < n; i++)
        vt_key(vt, VTERM_KEY_RIGHT, VTERM_MOD_NONE);
}

/* A line of the command line. */
static void command(struct vt *vt, const char *line)
{
    vt_type(vt, ":");
    vt_type(vt, line);
    vt_type(vt, "\r");
}

/* Where a text stands; false when it does not. Columns count characters: the rows of the workbench
 * hold no wide ones. */
static bool find_text(const struct vt *vt, const char *text, int *x, int *y)
{
    char row[VT_TEXT];
    for (*y = 0; *y < vt->rows; ++*y) {
        const char *at = strstr(vt_row(vt, *y, row), text);
        if (!at)
            continue;
        *x = 0;
        for (const char *p = row; p < at; p++)
            *x += ((unsigned char)*p & 0xC0) != 0x80;
        return true;
    }
    return false;
}

static void expect_whole_terminal(struct vt *vt)
{
    const struct termios modes = vt_modes(vt);
    assert_false(vt->alternate);
    assert_true(vt->cursor_visible);
    assert_int_equal(vt->mouse, VTERM_PROP_MOUSE_NONE);
    assert_true(modes.c_lflag & ECHO && modes.c_lflag & ICANON && modes.c_lflag & ISIG);
    assert_true(modes.c_iflag & ICRNL);
}

/* No sanitizer had anything to say. */
static void expect_no_reports(void)
{
    char line[4500];
    snprintf(line, sizeof line, "cat %s/asan* >&2 2>/dev/null", folder);
    if (system(line) == 0)
        fail_msg("a sanitizer has reported");
}

static void expect_exit(struct vt *vt, int code)
{
    if (!vt_wait_end(vt, 3 * LIMIT))
        show_and_fail(vt, "did not end:", program);
    expect_no_reports();
    if (!WIFEXITED(vt->status) || WEXITSTATUS(vt->status) != code) {
        vt_show(vt);
        fail_msg("exit %d, wanted %d (status 0x%x)", WEXITSTATUS(vt->status), code,
                 (unsigned)vt->status);
    }
}

static void expect_killed(struct vt *vt, int signal_expected)
{
    assert_true(vt_wait_end(vt, 3 * LIMIT));
    expect_no_reports();
    if (!WIFSIGNALED(vt->status) || WTERMSIG(vt->status) != signal_expected) {
        vt_show(vt);
        fail_msg("status 0x%x, wanted signal %d", (unsigned)vt->status, signal_expected);
    }
}

/* Leaves, whether or not something is unsaved. */
static void quit(struct vt *vt)
{
    command(vt, "quit!");
    expect_exit(vt, 0);
    expect_whole_terminal(vt);
    vt_close(vt);
}

/* The session that was rescued, NULL when there is none; free it. */
static char *rescued(void)
{
    char pattern[4500];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s/state/bitplan/recovered-*", folder);
    char *path = NULL;
    if (glob(pattern, 0, NULL, &found) == 0) {
        assert_int_equal(found.gl_pathc, 1);
        path = strdup(found.gl_pathv[0]);
    }
    globfree(&found);
    return path;
}

/* The rescued session opens and holds the edit. */
static void expect_rescued(const char *text)
{
    char *path = rescued();
    assert_non_null(path);
    assert_null(strstr(path, ".tmp"));
    struct vt *vt = start_on(path, text);
    quit(vt);
    remove(path);
    free(path);
}

/* What the command prints, at most n bytes; its exit status. */
static int output_of(const char *line, char *text, size_t n)
{
    FILE *out = popen(line, "r");
    assert_non_null(out);
    text[fread(text, 1, n - 1, out)] = '\0';
    while (fgetc(out) != EOF)
        ;
    const int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static double number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

/* --- the budget ------------------------------------------------------------------------------- */

static void the_first_frame_shows_a_proved_plan(void **state)
{
    (void)state;
    struct vt *vt = open_with((struct start){0}, table, NULL);
    assert_true(vt_wait_frames(vt, 1, LIMIT));
    expect_solved(vt, "target ");
    assert_true(vt_has(vt, "bits/param"));
    assert_true(vt->alternate);
    assert_false(vt->cursor_visible);
    quit(vt);
}

/* The figures of `bitplan solve --bits 3.06`. */
static void holding_right_ends_at_the_figures_of_solve(void **state)
{
    char line[9000], json[8192], text[80], figure[BP_FIGURE_TEXT];
    (void)state;
    struct vt *vt = start();
    right(vt, 30);
    expect_solved(vt, "target 3.0600");
    snprintf(line, sizeof line, "%s solve %s --bits 3.06 --json 2>/dev/null", program, table);
    output_of(line, json, sizeof json);
    snprintf(text, sizeof text, "%.4f bits/param", number_after(json, "\"bits_per_param\":"));
    expect_text(vt, text);
    snprintf(text, sizeof text, "error %s", bp_figure(number_after(json, "\"error\":"), figure));
    expect_text(vt, text);
    quit(vt);
}

static void keys_counts_numbers_and_commands_move_the_budget(void **state)
{
    (void)state;
    struct vt *vt = start();
    vt_key(vt, VTERM_KEY_LEFT, VTERM_MOD_NONE);
    expect_solved(vt, "target 2.7500");
    vt_key(vt, VTERM_KEY_LEFT, VTERM_MOD_SHIFT);
    expect_solved(vt, "target 2.7000"); /* the next multiple of the step */
    vt_type(vt, "5");
    right(vt, 1);
    expect_solved(vt, "target 2.7500");
    vt_type(vt, "2.9\r");
    expect_solved(vt, "target 2.9000");
    command(vt, "bits 2.6");
    expect_solved(vt, "target 2.6000");
    vt_type(vt, "uu");
    expect_solved(vt, "target 2.7500");
    vt_type(vt, "U");
    expect_solved(vt, "target 2.9000");
    quit(vt);
}

/* On a model so small that the bits of a budget are a rounding away from it. */
static void steps_do_not_stick_on_a_small_model(void **state)
{
    char story[4200];
    (void)state;
    snprintf(story, sizeof story, "%.*s/story-656k.safetensors", (int)(strrchr(table, '/') - table),
             table);
    struct vt *vt = start_on(story, "target ");
    vt_type(vt, "3\r");
    for (int i = 1; i <= 20; i++) {
        char text[32];
        vt_key(vt, VTERM_KEY_RIGHT, VTERM_MOD_CTRL);
        snprintf(text, sizeof text, "target 3.%03d0", i);
        expect_text(vt, text);
    }
    right(vt, 3);
    expect_solved(vt, "target 3.0500");
    quit(vt);
}

/* --- the mouse -------------------------------------------------------------------------------- */

static void the_mouse_drags_clicks_and_rolls(void **state)
{
    int x, y, x1, y1;
    (void)state;
    struct vt *vt = start();
    assert_int_equal(vt->mouse, VTERM_PROP_MOUSE_DRAG);
    assert_true(find_text(vt, "\u25cf", &x, &y)); /* the slider */
    vt_mouse(vt, 1, true, x, y);
    vt_mouse_move(vt, x + 10, y);
    vt_mouse_move(vt, x + 20, y + 3); /* it keeps the mouse */
    vt_mouse(vt, 1, false, x + 20, y + 3);
    for (int i = 0; i < 100 && vt_has(vt, "target 2.7600"); i++)
        vt_pump(vt, 100);
    expect_solved(vt, "target 3.");
    assert_true(find_text(vt, "\u25cf", &x1, &y1));
    assert_int_equal(y1, y);
    assert_in_range(x1, x + 19, x + 21);

    vt_mouse(vt, 4, true, x, y); /* up: more */
    vt_settle(vt, QUIET_MS);
    vt_mouse(vt, 5, true, x, y);
    expect_solved(vt, "target 3.");
    vt_type(vt, "u");
    expect_solved(vt, "target 2.7600"); /* all that was one movement */

    assert_true(find_text(vt, "v_proj", &x, &y)); /* the map's row */
    vt_mouse(vt, 1, true, x + 40, y);
    vt_mouse(vt, 1, false, x + 40, y);
    expect_text(vt, "self_attn.v_proj.weight");
    assert_false(vt_has(vt, "layers.0.self_attn.v_proj.weight"));
    quit(vt);
}

static void without_the_mouse_its_mode_stays_off(void **state)
{
    (void)state;
    struct vt *vt =
        open_with((struct start){0}, session, (const char *const[]){"--no-mouse", NULL});
    expect_solved(vt, "target 2.7600");
    assert_int_equal(vt->mouse, VTERM_PROP_MOUSE_NONE);
    quit(vt);
}

/* --- size, jobs ------------------------------------------------------------------------------- */

/* A row up to where times stand. */
static void timeless_row(const struct vt *vt, int y, char row[VT_TEXT])
{
    vt_row(vt, y, row);
    char *proved = strstr(row, "proved in ");
    if (proved)
        *proved = '\0';
}

/* The first row in which two screens differ, -1 when they are the same. */
static int different_row(const struct vt *a, const struct vt *b)
{
    char row[VT_TEXT], other[VT_TEXT];
    for (int y = 0; y < a->rows; y++) {
        timeless_row(a, y, row);
        timeless_row(b, y, other);
        if (strcmp(row, other) != 0)
            return y;
    }
    return -1;
}

static void move_about(struct vt *vt)
{
    expect_solved(vt, "target 2.7600");
    right(vt, 4);
    vt_type(vt, "jll");
}

static void a_storm_of_sizes_ends_with_the_picture_of_a_fresh_start(void **state)
{
    struct support_rng g = {20231};
    char row[VT_TEXT];
    (void)state;
    struct vt *vt = start();
    move_about(vt);
    for (int i = 0; i < 1500; i++) {
        vt_resize(vt, 1 + (int)support_below(&g, 300), 1 + (int)support_below(&g, 100));
        if (i % 5 == 0)
            vt_pump(vt, 0);
        assert_false(vt->ended);
    }
    vt_resize(vt, COLS + 1, ROWS);
    expect_solved(vt, "target 2.8000");
    struct vt *other = open_with((struct start){.cols = COLS + 1}, session, NULL);
    move_about(other);
    expect_solved(other, "target 2.8000");
    /* The curve comes when there is time for it. */
    for (int i = 0; i < LIMIT / QUIET_MS && different_row(vt, other) >= 0; i++) {
        vt_settle(vt, QUIET_MS);
        vt_settle(other, QUIET_MS);
    }
    const int y = different_row(vt, other);
    if (y >= 0) {
        vt_show(other);
        show_and_fail(vt, "not as after a fresh start:", vt_row(vt, y, row));
    }
    quit(other);
    quit(vt);
}

static void ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(void **state)
{
    (void)state;
    struct vt *vt = open_with((struct start){.job = true}, session, NULL);
    assert_true(vt_program(vt) > 0);
    expect_solved(vt, "target 2.7600");
    right(vt, 1);
    expect_solved(vt, "target 2.7700");
    vt_type(vt, "\x1a");
    assert_true(vt_wait_stop(vt, LIMIT));
    vt_settle(vt, QUIET_MS);
    expect_whole_terminal(vt);
    vt_resize(vt, 100, 30);
    const unsigned long frames = vt->frames;
    vt_continue(vt);
    assert_true(vt_wait_frames(vt, frames + 1, LIMIT));
    expect_solved(vt, "target 2.7700");
    assert_true(vt->alternate);
    assert_int_equal(vt->mouse, VTERM_PROP_MOUSE_DRAG);
    right(vt, 1);
    expect_solved(vt, "target 2.7800");
    quit(vt);
}

static void ctrl_l_paints_over_foreign_text(void **state)
{
    static const char foreign[] = "\033[10;10Hforeign words";
    (void)state;
    struct vt *vt = start();
    vterm_input_write(vt->term, foreign, sizeof foreign - 1);
    assert_true(vt_has(vt, "foreign words"));
    vt_type(vt, "\x0c");
    for (int i = 0; i < 100 && vt_has(vt, "foreign words"); i++)
        vt_pump(vt, 100);
    assert_false(vt_has(vt, "foreign words"));
    expect_solved(vt, "target 2.7600");
    quit(vt);
}

/* --- endings ---------------------------------------------------------------------------------- */

/* Without an edit nothing is saved; with one it is, and it opens again. */
static void expect_end(int signal_sent, bool edit, const char *words)
{
    struct vt *vt = start();
    if (edit) {
        right(vt, 30);
        expect_solved(vt, "target 3.0600");
    }
    kill(vt->pid, signal_sent);
    expect_killed(vt, signal_sent);
    expect_whole_terminal(vt);
    if (!vt_has(vt, words))
        show_and_fail(vt, "not said:", words);
    vt_close(vt);
    if (edit)
        expect_rescued("target 3.0600");
    char *path = rescued();
    assert_null(path);
}

static void signals_to_stop_save_the_session(void **state)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT};
    (void)state;
    for (int i = 0; i < 3; i++)
        expect_end(signals[i], true, "the session was saved");
    expect_end(SIGTERM, false, "nothing was lost");
}

static void a_crash_saves_the_session(void **state)
{
    static const int signals[] = {SIGSEGV, SIGABRT, SIGBUS};
    (void)state;
    for (int i = 0; i < 3; i++)
        expect_end(signals[i], true, "the session was saved in");
    expect_end(SIGSEGV, false, "crashed (signal 11)");
}

static void a_terminal_that_goes_away_does_not_take_the_session_along(void **state)
{
    (void)state;
    for (int edit = 0; edit < 2; edit++) {
        struct vt *vt = start();
        right(vt, 30 * edit);
        expect_solved(vt, edit ? "target 3.0600" : "target 2.7600");
        assert_true(vt_hang_up(vt, LIMIT));
        expect_no_reports();
        assert_true(WIFSIGNALED(vt->status) ? WTERMSIG(vt->status) == SIGHUP
                                            : WEXITSTATUS(vt->status) == 1);
        vt_close(vt);
        if (edit)
            expect_rescued("target 3.0600");
        assert_null(rescued());
    }
}

/* What options have set counts as an edit. */
static void options_of_the_start_are_rescued_too(void **state)
{
    (void)state;
    struct vt *vt =
        open_with((struct start){0}, session, (const char *const[]){"--bits", "3", NULL});
    expect_solved(vt, "target 3.0000");
    kill(vt->pid, SIGSEGV);
    expect_killed(vt, SIGSEGV);
    vt_close(vt);
    expect_rescued("target 3.0000");
}

/* --- leaving and saving ----------------------------------------------------------------------- */

static void leaving_asks_when_something_is_unsaved(void **state)
{
    (void)state;
    struct vt *vt = start();
    vt_type(vt, "q"); /* nothing is */
    expect_exit(vt, 0);
    vt_close(vt);

    vt = start();
    right(vt, 1);
    expect_solved(vt, "target 2.7700");
    vt_type(vt, "q");
    expect_text(vt, "not saved");
    vt_type(vt, "x"); /* stays */
    right(vt, 1);
    expect_solved(vt, "target 2.7800");
    assert_false(vt_has(vt, "not saved"));
    vt_type(vt, "qd");
    expect_exit(vt, 0);
    expect_whole_terminal(vt);
    vt_close(vt);
    assert_null(rescued());

    /* On a table a budget that was only moved is nothing to lose. A constraint is, and as there is
     * no session file yet, its name is asked for. */
    vt = start_on(table, "target ");
    right(vt, 1);
    vt_type(vt, "q");
    expect_exit(vt, 0);
    vt_close(vt);
    vt = start_on(table, "target ");
    vt_type(vt, "2.77\rp");
    expect_solved(vt, "target 2.7700");
    vt_type(vt, "qs\x15save ");
    char *path = test_dir_join(folder, "kept.json");
    vt_type(vt, path);
    vt_type(vt, "\r"); /* saved, and left as was asked */
    expect_exit(vt, 0);
    vt_close(vt);

    /* A session that has a file is saved there and left. */
    vt = start_on(path, "target 2.7700");
    right(vt, 1);
    expect_solved(vt, "target 2.7800");
    vt_type(vt, "qs");
    expect_exit(vt, 0);
    vt_close(vt);
    quit(start_on(path, "target 2.7800"));
    free(path);
}

static void a_session_saved_opened_and_saved_again_is_the_same(void **state)
{
    char line[4500];
    size_t n_before, n_after;
    (void)state;
    char *path = test_dir_join(folder, "s.json"), *notes = test_dir_join(folder, "notes.txt");
    struct vt *vt = start();
    right(vt, 3);
    vt_type(vt, "jp"); /* pin the matrix below the first */
    expect_solved(vt, "target 2.7900");
    vt_type(vt, "b\r");
    expect_text(vt, "kept as");
    command(vt, "set context 8192");
    snprintf(line, sizeof line, "save %s", path);
    command(vt, line);
    expect_text(vt, "session saved in");
    quit(vt);
    char *before = support_read(path, &n_before);

    vt = start_on(path, "target 2.7900");
    command(vt, "save");
    expect_text(vt, "session saved in");
    char *after = support_read(path, &n_after);
    assert_int_equal(n_before, n_after);
    assert_memory_equal(before, after, n_before);

    /* Over a foreign file only when told to. */
    test_dir_write_text(folder, "notes.txt", "mine\n");
    snprintf(line, sizeof line, "save %s", notes);
    command(vt, line);
    expect_text(vt, "save! FILE");
    char *kept = support_read(notes, NULL);
    assert_string_equal(kept, "mine\n");
    snprintf(line, sizeof line, "save! %s", notes);
    command(vt, line);
    expect_text(vt, "session saved in");
    quit(vt);
    free(kept);
    kept = support_read(notes, NULL);
    assert_string_equal(kept, before);
    free(kept);
    free(before);
    free(after);
    free(path);
    free(notes);
}

/* --- terminals -------------------------------------------------------------------------------- */

static void an_unknown_terminal_is_refused_in_one_line(void **state)
{
    char row[VT_TEXT];
    (void)state;
    struct vt *vt = open_with((struct start){.term = "no-such-terminal", .cols = 200}, table, NULL);
    expect_exit(vt, 1);
    assert_int_equal(vt->frames, 0);
    support_says(vt_row(vt, 0, row), "is not known here");
    for (int y = 1; y < vt->rows; y++)
        assert_string_equal(vt_row(vt, y, row), "");
    vt_close(vt);
}

static void a_dumb_terminal_is_told_the_plan_in_words(void **state)
{
    (void)state;
    struct vt *vt = open_with((struct start){.term = "dumb", .cols = 200, .rows = 80}, table, NULL);
    expect_exit(vt, 0);
    assert_int_equal(vt->frames, 0);
    assert_true(vt_has(vt, "optimal (proved)"));
    assert_true(vt_has(vt, "TERM=dumb"));
    vt_close(vt);
}

static void without_a_terminal_the_plan_is_told_in_words(void **state)
{
    char line[9000], text[8192];
    (void)state;
    snprintf(line, sizeof line, "%s %s </dev/null 2>&1", program, table);
    assert_int_equal(output_of(line, text, sizeof text), 0);
    support_says(text, "optimal|no terminal");
    assert_null(strchr(text, '\033'));
}

static void no_color_means_none(void **state)
{
    (void)state;
    struct vt *vt = open_with((struct start){.more = "NO_COLOR=1"}, session, NULL);
    expect_solved(vt, "target 2.7600");
    for (int y = 0; y < vt->rows; y++)
        for (int x = 0; x < vt->cols; x++) {
            const VTermScreenCell cell = vt_cell(vt, x, y);
            assert_true(VTERM_COLOR_IS_DEFAULT_BG(&cell.bg));
            assert_true(VTERM_COLOR_IS_DEFAULT_FG(&cell.fg));
        }
    quit(vt);
}

static void expect_ascii(struct vt *vt)
{
    expect_solved(vt, "target 2.7600");
    for (int y = 0; y < vt->rows; y++)
        for (int x = 0; x < vt->cols; x++)
            assert_in_range(vt_cell(vt, x, y).chars[0], 0, 0x7E);
}

static void the_c_locale_and_the_option_give_ascii(void **state)
{
    (void)state;
    struct vt *vt = open_with((struct start){.more = "LC_ALL=C"}, session, NULL);
    expect_ascii(vt);
    quit(vt);
    vt = open_with((struct start){0}, session, (const char *const[]){"--ascii", NULL});
    expect_ascii(vt);
    quit(vt);
}

static void colours_are_as_many_as_asked_for(void **state)
{
    static const char *const words[] = {"16", "256", "true"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *const more[] = {"--colors", words[i], NULL};
        struct vt *vt = open_with((struct start){0}, session, more);
        int highest = -1, direct = 0;
        expect_solved(vt, "target 2.7600");
        for (int y = 0; y < vt->rows; y++)
            for (int x = 0; x < vt->cols; x++) {
                const VTermColor bg = vt_cell(vt, x, y).bg;
                if (VTERM_COLOR_IS_RGB(&bg) && !VTERM_COLOR_IS_DEFAULT_BG(&bg))
                    direct++;
                else if (VTERM_COLOR_IS_INDEXED(&bg) && bg.indexed.idx > highest)
                    highest = bg.indexed.idx;
            }
        if (i == 0)
            assert_in_range(highest, 1, 15);
        else if (i == 1)
            assert_in_range(highest, 16, 255);
        assert_int_equal(direct > 0, i == 2);
        quit(vt);
    }
}

/* --- settings, history ------------------------------------------------------------------------ */

static void write_config(const char *text)
{
    char *top = test_dir_join(folder, "settings"), *own = test_dir_join(top, "bitplan");
    mkdir(top, 0700);
    mkdir(own, 0700);
    test_dir_write_text(own, "config", text);
    free(own);
    free(top);
}

static void the_settings_file_is_heeded(void **state)
{
    (void)state;
    write_config("# mine\nbind F2 = save\nmouse = no\nglyphs = ascii\n\nbind 7 = none\n");
    struct vt *vt = open_with((struct start){0}, session, NULL);
    expect_ascii(vt);
    assert_int_equal(vt->mouse, VTERM_PROP_MOUSE_NONE);
    vt_key(vt, VTERM_KEY_FUNCTION(2), VTERM_MOD_NONE);
    expect_text(vt, "session saved in");
    quit(vt);

    write_config("mouse = yes\nbind F2 = sing\n");
    vt = open_with((struct start){.cols = 250}, table, NULL);
    expect_exit(vt, 4);
    expect_whole_terminal(vt);
    expect_text(vt, "settings/bitplan/config: line 2: ");
    vt_close(vt);
}

static void the_command_line_is_remembered_over_runs(void **state)
{
    (void)state;
    struct vt *vt = start();
    command(vt, "bits 2.6");
    expect_solved(vt, "target 2.6000");
    command(vt, "bits 2.61");
    expect_solved(vt, "target 2.6100");
    vt_type(vt, "qd");
    expect_exit(vt, 0);
    vt_close(vt);

    vt = start();
    vt_type(vt, ":");
    vt_key(vt, VTERM_KEY_UP, VTERM_MOD_NONE);
    expect_text(vt, ":bits 2.61");
    vt_key(vt, VTERM_KEY_UP, VTERM_MOD_NONE);
    vt_type(vt, "5\r");
    expect_solved(vt, "target 2.6500");
    quit(vt);
}

/* --- models ----------------------------------------------------------------------------------- */

static const char *const measuring[] = {
    "--grid", "b0=2,3:b1=4:b2=bf16:B0=64:B1=256", "--rank", "4", "--threads", "2", NULL};
/* Slow enough to be left in the middle. */
static const char *const measuring_exactly[] = {"--grid",    "b0=2,3:b1=4:b2=bf16:B0=64:B1=256",
                                                "--rank",    "4",
                                                "--threads", "2",
                                                "--effort",  "exact",
                                                NULL};

static char *make_model(const char *layers)
{
    char line[9000], text[256];
    char *model = test_dir_join(folder, "model");
    snprintf(line, sizeof line, "%s sample %s --shapes tiny --layers %s --progress none 2>&1",
             program, model, layers);
    assert_int_equal(output_of(line, text, sizeof text), 0);
    return model;
}

static void a_model_is_measured_while_it_is_planned(void **state)
{
    (void)state;
    char *model = make_model("2");
    struct vt *vt = open_with((struct start){0}, model, measuring);
    expect_text(vt, "measuring");
    expect_text(vt, "target "); /* a plan of what is there so far */
    const unsigned long frames = vt->frames;
    if (!vt_wait_text(vt, "measured 100 %", 6 * LIMIT))
        show_and_fail(vt, "never saw", "measured 100 %");
    assert_true(vt->frames > frames);
    expect_solved(vt, "measured 100 %");
    quit(vt);
    free(model);
}

static void measuring_that_was_left_goes_on_where_it_was(void **state)
{
    char line[9000], text[4096], name[4500];
    (void)state;
    char *model = make_model("6");
    struct vt *vt = open_with((struct start){0}, model, measuring_exactly);
    expect_text(vt, "measuring 3 of 42");
    command(vt, "quit!");
    expect_exit(vt, 0); /* at the next whole cell, with its threads */
    expect_whole_terminal(vt);
    vt_close(vt);

    snprintf(name, sizeof name, "%s/state/bitplan/*.safetensors", folder);
    snprintf(line, sizeof line, "%s info %s 2>&1", program, name);
    assert_int_equal(output_of(line, text, sizeof text), 0);
    assert_null(strstr(text, "100 %"));

    vt = open_with((struct start){0}, model, measuring_exactly);
    expect_text(vt, "measuring");
    assert_false(vt_has(vt, "measuring 0 of"));
    if (!vt_wait_text(vt, "measured 100 %", 6 * LIMIT))
        show_and_fail(vt, "never saw", "measured 100 %");
    quit(vt);
    free(model);
}

/* --- main ------------------------------------------------------------------------------------- */

/* The folder above this program's that holds `file`, joined with it, into path. */
static bool find_above(const char *file, char path[4096])
{
    char here[2048];
    const ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);
    here[n > 0 ? n : 0] = '\0';
    for (char *slash; (slash = strrchr(here, '/'));) {
        *slash = '\0';
        snprintf(path, 4096, "%s/%s", here, file);
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

static int make_session(void **state)
{
    char line[13000], text[256];
    (void)state;
    char *made = test_dir_make(), *path = test_dir_join(made, "session.json");
    snprintf(line, sizeof line, "%s %s --bits 2.76 --script ': \"save %s\" Enter' 2>&1 >/dev/null",
             program, table, path);
    const int status = output_of(line, text, sizeof text);
    session_text = support_read(path, NULL);
    free(path);
    test_dir_remove(made);
    return status;
}

static int free_session(void **state)
{
    (void)state;
    free(session_text);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_first_frame_shows_a_proved_plan),
        TEST(holding_right_ends_at_the_figures_of_solve),
        TEST(keys_counts_numbers_and_commands_move_the_budget),
        TEST(steps_do_not_stick_on_a_small_model),
        TEST(the_mouse_drags_clicks_and_rolls),
        TEST(without_the_mouse_its_mode_stays_off),
        TEST(a_storm_of_sizes_ends_with_the_picture_of_a_fresh_start),
        TEST(ctrl_z_gives_the_terminal_back_and_fg_takes_it_again),
        TEST(ctrl_l_paints_over_foreign_text),
        TEST(signals_to_stop_save_the_session),
        TEST(a_crash_saves_the_session),
        TEST(a_terminal_that_goes_away_does_not_take_the_session_along),
        TEST(options_of_the_start_are_rescued_too),
        TEST(leaving_asks_when_something_is_unsaved),
        TEST(a_session_saved_opened_and_saved_again_is_the_same),
        TEST(an_unknown_terminal_is_refused_in_one_line),
        TEST(a_dumb_terminal_is_told_the_plan_in_words),
        TEST(without_a_terminal_the_plan_is_told_in_words),
        TEST(no_color_means_none),
        TEST(the_c_locale_and_the_option_give_ascii),
        TEST(colours_are_as_many_as_asked_for),
        TEST(the_settings_file_is_heeded),
        TEST(the_command_line_is_remembered_over_runs),
        TEST(a_model_is_measured_while_it_is_planned),
        TEST(measuring_that_was_left_goes_on_where_it_was),
    };
    const char *own = getenv("BITPLAN");
    if (own && *own)
        snprintf(program, sizeof program, "%s", own);
    else if (!find_above("bitplan", program))
        return 99;
    if (!find_above("sessions/llama-2-7b.safetensors", table))
        return 99;
    return cmocka_run_group_tests_name("workbench", tests, make_session, free_session);
}
