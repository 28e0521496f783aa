/* Sessions on disk: saved, opened and saved again they are equal byte for byte; tables are found
 * from where the session lies; what is no session is refused with file and place; plans, tables and
 * models are told apart. */
#include "support.h"

#include "engine/session.h"

struct place {
    char *dir, *table, *path; /* of the session */
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    char *made = test_dir_make();
    p->dir = realpath(made, NULL);
    free(made);
    assert_non_null(p->dir);
    p->table = test_dir_join(p->dir, "t \"1\".safetensors");
    p->path = test_dir_join(p->dir, "s.json");
    static const struct support_shape shape = {16, 32};
    const struct bp_candidate candidate = support_candidate("nf3:u4:bf16:64:256", 4);
    struct bp_table *t = support_table(&shape, 1, &candidate, 1);
    support_numbers(t, 1);
    support_save(t, p->table);
    bp_table_close(t);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    test_dir_remove(p->dir);
    free(p->table);
    free(p->path);
    free(p);
    return 0;
}

static void apply(struct bp_session *s, struct bp_edit edit)
{
    struct bp_edit inverse;
    struct bp_err err = {""};
    if (bp_session_apply(s, &edit, &inverse, &err))
        fail_msg("%s", err.text);
    bp_edit_done(&inverse);
}

static void constrain(struct bp_session *s, enum bp_constraint_kind kind, const char *value)
{
    apply(s, (struct bp_edit){.kind = BP_EDIT_ADD_CONSTRAINT,
                              .index = BP_EDIT_LAST,
                              .constraint = {kind, (char *)(uintptr_t)value}});
}

/* Every field, with words that JSON must escape, and numbers that need all their digits. */
static void fill(struct bp_session *s)
{
    uint32_t choice[] = {0, 242, 16383, 7};
    struct bp_constraint list[] = {
        {BP_CONSTRAINT_WEIGHT, (char *)(uintptr_t) "q=0.1"},
        {BP_CONSTRAINT_PIN, (char *)(uintptr_t) "\\.(a|b)[^\"]{2,3}$=nf4:*:*:64:*"}};
    struct bp_edit bookmark = {
        .kind = BP_EDIT_ADD_BOOKMARK,
        .index = BP_EDIT_LAST,
        .bookmark = {.name = (char *)(uintptr_t) "caf\xc3\xa9 \"\\/ \xf0\x9f\x98\x80\n\t\x01",
                     .budget = {.unit = BP_BUDGET_BITS_PER_PARAM,
                                .asked = 3.3333333333333335,
                                .bits = (UINT64_C(1) << 53) - 1},
                     .constraints = {list, 2},
                     .choice = choice,
                     .n_choice = 4,
                     .storage_bits = UINT64_C(9007199254740991),
                     .error = 0.1 + 0.2,
                     .optimal = true}};
    apply(s, bookmark);
    bookmark.bookmark.name = (char *)(uintptr_t) "2";
    bookmark.bookmark.budget = (struct bp_budget){.unit = BP_BUDGET_TOTAL_BYTES,
                                                  .asked = 25769803776.0,
                                                  .bits = 77,
                                                  .context = 4096,
                                                  .batch = 0,
                                                  .kv_bits = 8,
                                                  .low_rank_bits = 8};
    bookmark.bookmark.constraints.n = 0;
    bookmark.bookmark.n_choice = 0;
    bookmark.bookmark.error = 5e-324;
    bookmark.bookmark.optimal = false;
    apply(s, bookmark);
    constrain(s, BP_CONSTRAINT_GRID, "b0=2,3,4:B0=16");
    constrain(s, BP_CONSTRAINT_PIN, "^.*\\[0-9]{1,3}(\"|\\\\)$=nf3:*:*:*:*");
    constrain(s, BP_CONSTRAINT_BAN, "\xe5\xb1\x82=*");
    constrain(s, BP_CONSTRAINT_PIN, "\x7f\x02=q4_k");
    constrain(s, BP_CONSTRAINT_TIE, "experts");
    apply(s, (struct bp_edit){.kind = BP_EDIT_BUDGET,
                              .budget = {.unit = BP_BUDGET_TOTAL_BYTES, .asked = 1e15 / 3.0}});
    struct bp_edit memory = {.kind = BP_EDIT_MEMORY, .memory = s->memory};
    memory.memory.card_bytes = UINT64_C(1) << 50;
    memory.memory.context = 0;
    apply(s, memory);
    assert_int_equal(bp_session_set_view(s, "panel", "grid", NULL), BP_OK);
    assert_int_equal(bp_session_set_view(s, "", "", NULL), BP_OK);
    assert_int_equal(bp_session_set_view(s, "\"\xc3\xa9\"", "a\nb", NULL), BP_OK);
    free(s->table_fingerprint);
    s->table_fingerprint = bp_strdup("xxh3:00112233445566778899aabbccddeeff");
}

static struct bp_session open_as(const char *path, enum bp_opened want)
{
    struct bp_session s;
    enum bp_opened what;
    struct bp_err err = {""};
    if (bp_session_open(path, &s, &what, &err))
        fail_msg("%s", err.text);
    assert_int_equal(what, want);
    return s;
}

/* Opening what was saved and saving it again gives the same bytes. Returns them. */
static char *round_trip(const struct place *p, const struct bp_session *s)
{
    struct bp_err err = {""};
    char *again = test_dir_join(p->dir, "again.json");
    if (bp_session_save(s, p->path, true, &err))
        fail_msg("%s", err.text);
    struct bp_session opened = open_as(p->path, BP_OPENED_SESSION);
    assert_int_equal(bp_session_save(&opened, again, true, &err), BP_OK);
    char *first = support_read(p->path, NULL), *second = support_read(again, NULL);
    assert_string_equal(first, second);
    char *text = bp_session_text(&opened, p->path);
    assert_string_equal(first, text);
    bp_session_done(&opened);
    unlink(again);
    free(again);
    free(second);
    free(text);
    return first;
}

static void what_is_saved_is_opened_byte_for_byte(void **state)
{
    const struct place *p = *state;
    struct bp_session s;
    assert_int_equal(bp_session_init(&s, p->table, NULL), BP_OK);
    free(round_trip(p, &s)); /* the defaults */
    fill(&s);
    char *text = round_trip(p, &s);
    assert_non_null(strstr(text, "\"path\":\t\"t \\\"1\\\".safetensors\""));

    struct bp_session opened = open_as(p->path, BP_OPENED_SESSION);
    assert_string_equal(opened.table_path, p->table);
    assert_string_equal(opened.table_fingerprint, s.table_fingerprint);
    assert_int_equal(opened.budget.unit, BP_BUDGET_TOTAL_BYTES);
    assert_true(opened.budget.asked == 1e15 / 3.0 && opened.budget.bits == 0);
    assert_memory_equal(&opened.memory, &s.memory, sizeof s.memory);
    assert_int_equal(opened.constraints.n, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(opened.constraints.list[i].kind, s.constraints.list[i].kind);
        assert_string_equal(opened.constraints.list[i].value, s.constraints.list[i].value);
    }
    assert_int_equal(opened.n_bookmarks, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct bp_bookmark *a = &opened.bookmarks[i], *b = &s.bookmarks[i];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->budget.unit, b->budget.unit);
        assert_true(a->budget.asked == b->budget.asked && a->budget.bits == b->budget.bits);
        assert_int_equal(a->budget.context, b->budget.context);
        assert_int_equal(a->budget.kv_bits, b->budget.kv_bits);
        assert_int_equal(bp_budget_precision(&a->budget), bp_budget_precision(&b->budget));
        assert_int_equal(a->constraints.n, b->constraints.n);
        assert_int_equal(a->n_choice, b->n_choice);
        assert_memory_equal(a->choice, b->choice, b->n_choice * sizeof *b->choice);
        assert_int_equal(a->storage_bits, b->storage_bits);
        assert_true(a->error == b->error && a->optimal == b->optimal);
    }
    assert_int_equal(opened.bookmarks[0].constraints.list[0].kind, BP_CONSTRAINT_WEIGHT);
    assert_string_equal(bp_session_view(&opened, "\"\xc3\xa9\""), "a\nb");
    bp_session_done(&opened);
    bp_session_done(&s);
    free(text);
}

/* Beside or below the session: relative, so that a folder can be moved; elsewhere: absolute. */
static void tables_are_named_from_where_the_session_lies(void **state)
{
    const struct place *p = *state;
    char *sub = test_dir_join(p->dir, "sub"), *deep = test_dir_join(sub, "d.safetensors");
    char *inner = test_dir_join(sub, "s.json"), *link = test_dir_join(p->dir, "l.safetensors");
    char *linked = test_dir_join(p->dir, "linked"), *through = test_dir_join(linked, "s.json");
    assert_int_equal(mkdir(sub, 0777), 0);
    assert_int_equal(symlink(p->table, deep), 0);
    assert_int_equal(symlink("/dev/null", link), 0);
    assert_int_equal(symlink("sub", linked), 0);
    struct bp_session s;
    char *text;

    assert_int_equal(bp_session_init(&s, deep, NULL), BP_OK);
    text = round_trip(p, &s);
    assert_non_null(strstr(text, "\"sub/d.safetensors\""));
    free(text);
    assert_non_null(text = bp_session_text(&s, inner));
    assert_non_null(strstr(text, "\"d.safetensors\""));
    free(text);
    assert_non_null(text = bp_session_text(&s, through)); /* the same folder by another name */
    assert_non_null(strstr(text, "\"d.safetensors\""));
    free(text);
    assert_non_null(text = bp_session_text(&s, NULL));
    assert_non_null(strstr(text, deep));
    free(text);
    bp_session_done(&s);

    assert_int_equal(bp_session_init(&s, link, NULL), BP_OK); /* a link stays by its name */
    text = round_trip(p, &s);
    assert_non_null(strstr(text, "\"l.safetensors\""));
    free(text);
    assert_non_null(text = bp_session_text(&s, inner)); /* above the session */
    assert_non_null(strstr(text, link));
    free(text);
    bp_session_done(&s);

    /* From the working folder, with nothing in front of either name. */
    char *home = getcwd(NULL, 0);
    assert_int_equal(chdir(p->dir), 0);
    assert_int_equal(bp_session_init(&s, "l.safetensors", NULL), BP_OK);
    assert_int_equal(bp_session_save(&s, "w.json", false, NULL), BP_OK);
    assert_int_equal(bp_session_save(&s, "w.json", false, NULL), BP_ERR_MISMATCH);
    bp_session_done(&s);
    s = open_as("w.json", BP_OPENED_SESSION);
    assert_string_equal(s.table_path, "l.safetensors");
    bp_session_done(&s);
    assert_int_equal(bp_session_init(&s, "sub/../no/where.safetensors", NULL), BP_OK);
    assert_non_null(text = bp_session_text(&s, "gone/s.json"));
    assert_non_null(strstr(text, "sub/../no/where.safetensors"));
    free(text);
    bp_session_done(&s);
    assert_int_equal(chdir(home), 0);
    s = open_as(p->path, BP_OPENED_SESSION);
    assert_string_equal(s.table_path, link);
    bp_session_done(&s);

    assert_int_equal(bp_session_init(&s, "", NULL), BP_OK); /* none yet */
    text = round_trip(p, &s);
    assert_non_null(strstr(text, "\"path\":\t\"\""));
    free(text);
    bp_session_done(&s);
    free(home);
    free(sub);
    free(deep);
    free(inner);
    free(link);
    free(linked);
    free(through);
}

static void a_path_that_json_cannot_say_is_refused(void **state)
{
    const struct place *p = *state;
    struct bp_session s;
    struct bp_err err = {""};
    char *other = test_dir_join(p->dir, "bytes.json");
    assert_int_equal(bp_session_init(&s, "/nowhere/\xff.safetensors", NULL), BP_OK);
    assert_int_equal(bp_session_save(&s, other, true, &err), BP_ERR_INPUT);
    support_says(err.text, "bytes.json|UTF-8");
    assert_int_not_equal(access(other, F_OK), 0);
    bp_session_done(&s);
    free(other);
}

/* --- what is no session --- */

#define HEAD   "{\"format\": \"bitplan.session\", \"version\": 1, \"table\": {\"path\": \"\"}"
#define BUDGET "\"budget\": {\"asked\": 2.5, \"unit\": \"bits/param\", \"bits\": 1}"
#define MARK(name, choice)                                                                 \
    "{\"name\": \"" name "\", " BUDGET ", \"constraints\": [], \"choice\": [" choice "], " \
    "\"storage_bits\": 1, \"error\": 1, \"optimal\": true}"

static void hostile_sessions_are_refused_with_their_place(void **state)
{
    const struct place *p = *state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"format\": \"bitplan.session\"}", "\"version\""},
        {"{\"format\": \"bitplan.session\", \"version\": 2, \"odd\": 1}",
         "version 2|newer bitplan"},
        {"{\"format\": \"bitplan.session\", \"version\": 0}", "version 0"},
        {"{\"format\": \"bitplan.session\", \"version\": \"1\"}", "\"version\""},
        {"{\"format\": \"bitplan.session\", \"version\": 1}", "table"},
        {"{\"format\": \"bitplan.session\", \"version\": 1, \"table\": {}}", "table|\"path\""},
        {"{\"format\": \"bitplan.session\", \"version\": 1, \"table\": {\"path\": 3}}", "\"path\""},
        {"{\"format\": \"bitplan.session\", \"version\": 1, \"table\": {\"path\": \"gone\"}}",
         "table|gone is not there"},
        {"{\"format\": \"bitplan.session\", \"version\": 1, \"table\": {\"path\": \"\", "
         "\"rank\": 3}}",
         "table|\"rank\""},
        {HEAD ", \"colour\\u001b\": 1}", "\"colour?\"|knows"},
        {HEAD ", \"budget\": 3}", "budget|object"},
        {HEAD ", \"budget\": {\"asked\": 0, \"unit\": \"bytes\"}}", "budget|\"asked\""},
        {HEAD ", \"budget\": {\"asked\": -2, \"unit\": \"bytes\"}}", "budget|\"asked\""},
        {HEAD ", \"budget\": {\"asked\": \"2\", \"unit\": \"bytes\"}}", "\"asked\""},
        {HEAD ", \"budget\": {\"asked\": 1e999, \"unit\": \"bytes\"}}", "\"asked\""},
        {HEAD ", \"budget\": {\"asked\": 2, \"unit\": \"litres\"}}", "budget|\"unit\"|total bytes"},
        {HEAD ", \"budget\": {\"asked\": 2}}", "\"unit\""},
        {HEAD ", \"budget\": {\"asked\": 2, \"unit\": \"bytes\", \"bits\": 1}}", "\"bits\""},
        {HEAD ", \"constraints\": {}}", "\"constraints\" must be a list"},
        {HEAD ", \"constraints\": [3]}", "constraints[0]|object"},
        {HEAD ", \"constraints\": [{\"option\": \"--pin\"}]}", "constraints[0]|\"value\""},
        {HEAD ", \"constraints\": [{\"option\": \"--pin\", \"value\": \"a\"}, "
              "{\"option\": \"--bits\", \"value\": \"2\"}]}",
         "constraints[1]|'--bits'"},
        {HEAD ", \"constraints\": [{\"option\": \"--pin\", \"value\": \"a\", \"x\": 1}]}",
         "constraints[0]|\"x\""},
        {HEAD ", \"memory\": []}", "memory|object"},
        {HEAD ", \"memory\": {\"card\": 0}}", "memory|card"},
        {HEAD ", \"memory\": {\"card\": -1}}", "memory|\"card\""},
        {HEAD ", \"memory\": {\"card\": 1e16}}", "memory|\"card\""},
        {HEAD ", \"memory\": {\"kv-bits\": 33}}", "kv-bits|33"},
        {HEAD ", \"memory\": {\"low-rank-bits\": 12}}", "low-rank-bits|12|neither 8"},
        {HEAD ", \"memory\": {\"low-rank-bits\": 7}}", "low-rank-bits|7"},
        {HEAD ", \"memory\": {\"context\": 1.5}}", "\"context\""},
        {HEAD ", \"memory\": {\"kv_bits\": 8}}", "\"kv_bits\""},
        {HEAD ", \"bookmarks\": 1}", "bookmarks|list"},
        {HEAD ", \"bookmarks\": [1]}", "bookmarks[0]|object"},
        {HEAD ", \"bookmarks\": [" MARK("a", "1") ", " MARK("a", "1") "]}", "bookmarks[1]|'a'"},
        {HEAD ", \"bookmarks\": [" MARK("", "1") "]}", "bookmarks[0]|name"},
        {HEAD ", \"bookmarks\": [" MARK("a", "1, 1.5") "]}", "bookmarks[0]|choice[1]"},
        {HEAD ", \"bookmarks\": [" MARK("a", "-1") "]}", "choice[0]"},
        {HEAD ", \"bookmarks\": [" MARK("a", "16384") "]}", "choice[0]"},
        {HEAD ", \"bookmarks\": [" MARK("a", "\"1\"") "]}", "choice[0]"},
        {HEAD ", \"bookmarks\": [" MARK("a", "null") "]}", "choice[0]"},
        {HEAD ", \"bookmarks\": [{\"name\": \"a\"}]}", "bookmarks[0]|budget"},
        {HEAD ", \"bookmarks\": [{\"name\": \"a\", " BUDGET ", \"constraints\": [], \"choice\": [],"
              " \"storage_bits\": 9007199254740993, \"error\": 1, \"optimal\": true}]}",
         "\"storage_bits\"|2^53"},
        {HEAD ", \"bookmarks\": [{\"name\": \"a\", " BUDGET ", \"constraints\": [], \"choice\": [],"
              " \"storage_bits\": 1, \"error\": -1, \"optimal\": true}]}",
         "bookmarks[0]|error"},
        {HEAD ", \"bookmarks\": [{\"name\": \"a\", " BUDGET ", \"constraints\": [], \"choice\": [],"
              " \"storage_bits\": 1, \"error\": 1, \"optimal\": 1}]}",
         "\"optimal\""},
        {HEAD ", \"bookmarks\": [{\"name\": \"a\", \"budget\": {\"asked\": 1, \"unit\": "
              "\"total bytes\", \"bits\": 1}}]}",
         "bookmarks[0]|budget|\"context\""},
        {HEAD ", \"bookmarks\": [{\"name\": \"a\", \"budget\": {\"asked\": 1, \"unit\": "
              "\"bytes\", \"bits\": 1, \"context\": 1}}]}",
         "budget|\"context\""},
        {HEAD ", \"view\": []}", "view|object"},
        {HEAD ", \"view\": {\"a\": 1}}", "view|\"a\""},
        {HEAD ", \"view\": {\"a\": \"1\", \"a\": \"2\"}}", "\"a\""},
        {HEAD, "line 1"},
        {"{\"format\": \"bitplan.table\"}", "neither a session nor a plan"},
        {"[]", "neither a session nor a plan"},
        {"[{\"format\": \"bitplan.session\", \"version\": 1}]", "neither a session nor a plan"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bp_session s;
        enum bp_opened what;
        struct bp_err err = {""};
        test_dir_write_text(p->dir, "bad.json", bad[i].text);
        char *path = test_dir_join(p->dir, "bad.json");
        if (bp_session_open(path, &s, &what, &err) != BP_ERR_INPUT)
            fail_msg("not refused: %s", bad[i].text);
        support_says(err.text, "bad.json: ");
        support_says(err.text, bad[i].says);
        assert_null(s.table_path);
        free(path);
    }
}

/* By hand: what is left out has its default, and constraints come into order. */
static void a_session_by_hand_may_be_short(void **state)
{
    const struct place *p = *state;
    test_dir_write_text(p->dir, "s.json",
                        " \n" HEAD ", \"memory\": {\"context\": 9}, \"constraints\": ["
                        "{\"option\": \"--pin\", \"value\": \"1\"}, "
                        "{\"option\": \"--grid\", \"value\": \"2\"}, "
                        "{\"option\": \"--pin\", \"value\": \"3\"}]}");
    struct bp_session s = open_as(p->path, BP_OPENED_SESSION);
    assert_true(s.budget.asked == 0.0);
    assert_int_equal(s.memory.context, 9);
    assert_int_equal(s.memory.train_sequence, 2048);
    assert_string_equal(s.constraints.list[0].value, "2");
    assert_string_equal(s.constraints.list[1].value, "1");
    assert_string_equal(s.constraints.list[2].value, "3");
    free(round_trip(p, &s));
    bp_session_done(&s);
}

/* --- plans, tables, models --- */

#define PLAN_AT(path, budget)                                                              \
    "{\"format\": \"bitplan.plan\", \"version\": 1, \"model\": {}, \"table\": {\"path\": " \
    "\"" path "\", \"fingerprint\": \"xxh3:1\", \"rank\": 4}, \"budget\": {" budget "}, "  \
    "\"constraints\": [{\"option\": \"--pin\", \"value\": \"a=nf4:*:*:*:*\"}, "            \
    "{\"option\": \"--grid\", \"value\": \"paper\"}], \"more\": 1}"

static void a_plan_is_opened_as_it_was_asked_for(void **state)
{
    const struct place *p = *state;
    char *plan = test_dir_join(p->dir, "plan.json");
    test_dir_write_text(p->dir, "beside.safetensors", "");
    test_dir_write_text(
        p->dir, "plan.json",
        PLAN_AT("beside.safetensors", "\"asked\": 2.75, \"unit\": \"bits/param\", \"bits\": 5"));
    struct bp_session s = open_as(plan, BP_OPENED_PLAN);
    char *table = test_dir_join(p->dir, "beside.safetensors");
    assert_string_equal(s.table_path, table);
    assert_string_equal(s.table_fingerprint, "xxh3:1");
    assert_true(s.budget.asked == 2.75 && s.budget.bits == 0);
    assert_int_equal(s.constraints.n, 2);
    assert_string_equal(s.constraints.list[0].value, "paper");
    assert_int_equal(s.n_bookmarks, 0);
    bp_session_done(&s);

    /* A list: the first. Total bytes bring their memory settings. */
    test_dir_write_text(
        p->dir, "plan.json",
        "[" PLAN_AT("beside.safetensors",
                    "\"asked\": 9e9, \"unit\": \"total bytes\", \"bits\": 5, \"context\": 77, "
                    "\"batch\": 3, \"kv_bits\": 8") ", 5]");
    s = open_as(plan, BP_OPENED_PLAN);
    assert_int_equal(s.budget.unit, BP_BUDGET_TOTAL_BYTES);
    assert_true(s.memory.context == 77 && s.memory.batch == 3 && s.memory.kv_bits == 8);
    assert_int_equal(s.memory.low_rank_bits, 16); /* of a plan that does not say it */
    bp_session_done(&s);

    /* Every plan brings the precision of its low-rank parts. */
    test_dir_write_text(p->dir, "plan.json",
                        PLAN_AT("beside.safetensors",
                                "\"asked\": 2.75, \"unit\": \"bits/param\", \"bits\": 5}, "
                                "\"memory\": {\"low_rank_bits\": 8"));
    s = open_as(plan, BP_OPENED_PLAN);
    assert_int_equal(s.memory.low_rank_bits, 8);
    bp_session_done(&s);

    /* The working folder comes first. */
    char *home = getcwd(NULL, 0), *other = test_dir_join(p->dir, "other");
    assert_int_equal(mkdir(other, 0777), 0);
    test_dir_write_text(other, "beside.safetensors", "");
    assert_int_equal(chdir(other), 0);
    s = open_as(plan, BP_OPENED_PLAN);
    assert_string_equal(s.table_path, "beside.safetensors");
    bp_session_done(&s);
    assert_int_equal(chdir(home), 0);
    free(home);
    free(other);
    free(table);
    free(plan);
}

static void plans_that_cannot_be_opened(void **state)
{
    const struct place *p = *state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {PLAN_AT("nowhere", "\"asked\": 2.75, \"unit\": \"bits/param\""), "table|nowhere"},
        {PLAN_AT("", "\"asked\": 2.75"), "budget|\"unit\""},
        {PLAN_AT("", "\"asked\": null, \"unit\": \"bytes\""), "budget|\"asked\""},
        {PLAN_AT("", "\"asked\": 1, \"unit\": \"total bytes\""), "budget|\"context\""},
        {PLAN_AT("", "\"asked\": 1, \"unit\": \"total bytes\", \"context\": 1, \"batch\": 1, "
                     "\"kv_bits\": 64"),
         "budget|kv-bits"},
        {PLAN_AT("", "\"asked\": 1, \"unit\": \"bytes\"}, \"memory\": {\"low_rank_bits\": 4"),
         "memory|\"low_rank_bits\" must be 8, 16 or 32"},
        {"{\"format\": \"bitplan.plan\", \"version\": 2}", "plan of version 2|newer"},
        {"{\"format\": \"bitplan.plan\", \"version\": 1}", "table"},
        {"[{\"format\": \"bitplan.plan\", \"version\": 1, \"table\": {\"path\": \"\"}}]", "budget"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bp_session s;
        enum bp_opened what;
        struct bp_err err = {""};
        test_dir_write_text(p->dir, "bad.json", bad[i].text);
        char *path = test_dir_join(p->dir, "bad.json");
        if (bp_session_open(path, &s, &what, &err) != BP_ERR_INPUT)
            fail_msg("not refused: %s", bad[i].text);
        support_says(err.text, "bad.json: ");
        support_says(err.text, bad[i].says);
        free(path);
    }
}

static void tables_and_models_are_told_apart(void **state)
{
    const struct place *p = *state;
    struct bp_session s = open_as(p->table, BP_OPENED_TABLE);
    assert_string_equal(s.table_path, p->table);
    assert_true(s.budget.asked == 0.0);
    bp_session_done(&s);
    s = open_as(p->dir, BP_OPENED_MODEL);
    assert_string_equal(s.table_path, "");
    bp_session_done(&s);
    static const char model[] = "\x02\0\0\0\0\0\0\0{}";
    test_dir_write(p->dir, "model.safetensors", model, sizeof model - 1);
    char *path = test_dir_join(p->dir, "model.safetensors");
    s = open_as(path, BP_OPENED_MODEL);
    bp_session_done(&s);
    free(path);
    struct bp_err err = {""};
    enum bp_opened what;
    path = test_dir_join(p->dir, "gone");
    assert_int_equal(bp_session_open(path, &s, &what, &err), BP_ERR_INPUT);
    support_says(err.text, "gone: No such file");
    free(path);
}

/* A session of DeepSeek-V3's size: 45,000 matrices, a bookmark. */
static void a_large_bookmark_is_kept(void **state)
{
    const struct place *p = *state;
    enum { LARGE = 45000 };
    uint32_t *choice = bp_alloc(LARGE, sizeof *choice);
    struct support_rng g = {5};
    struct bp_session s;
    assert_non_null(choice);
    for (size_t i = 0; i < LARGE; i++)
        choice[i] = (uint32_t)support_below(&g, 432);
    assert_int_equal(bp_session_init(&s, p->table, NULL), BP_OK);
    apply(&s, (struct bp_edit){.kind = BP_EDIT_ADD_BOOKMARK,
                               .index = BP_EDIT_LAST,
                               .bookmark = {.name = (char *)(uintptr_t) "large",
                                            .budget = {.asked = 2.5},
                                            .choice = choice,
                                            .n_choice = LARGE}});
    free(round_trip(p, &s));
    struct bp_session opened = open_as(p->path, BP_OPENED_SESSION);
    assert_int_equal(opened.bookmarks[0].n_choice, LARGE);
    assert_memory_equal(opened.bookmarks[0].choice, choice, LARGE * sizeof *choice);
    bp_session_done(&opened);
    bp_session_done(&s);
    free(choice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_opened_byte_for_byte),
        cmocka_unit_test(tables_are_named_from_where_the_session_lies),
        cmocka_unit_test(a_path_that_json_cannot_say_is_refused),
        cmocka_unit_test(hostile_sessions_are_refused_with_their_place),
        cmocka_unit_test(a_session_by_hand_may_be_short),
        cmocka_unit_test(a_plan_is_opened_as_it_was_asked_for),
        cmocka_unit_test(plans_that_cannot_be_opened),
        cmocka_unit_test(tables_and_models_are_told_apart),
        cmocka_unit_test(a_large_bookmark_is_kept),
    };
    return cmocka_run_group_tests_name("session files", tests, make_place, remove_place);
}
