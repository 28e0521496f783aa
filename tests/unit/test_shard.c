/* The part of the work: --shard, Slurm's arrays and steps, the ranks of MPI launchers, and what is
 * refused of them; the threads that a process takes beside others. */
#include "support.h"

#include "cli/shard.h"

/* The variables of a test: "NAME=value" by commas. */
static const char *variables;

static const char *look_up(const char *name)
{
    static char value[64];
    const size_t n = strlen(name);
    for (const char *p = variables; *p;) {
        const size_t length = strcspn(p, ",");
        if (strncmp(p, name, n) == 0 && p[n] == '=') {
            snprintf(value, sizeof value, "%.*s", (int)(length - n - 1), p + n + 1);
            return value;
        }
        p += length + (p[length] == ',');
    }
    return NULL;
}

static void check(const char *text, const char *names, unsigned part, unsigned parts,
                  const char *source)
{
    struct bp_shard shard;
    struct bp_err err = {""};
    variables = names;
    if (bp_shard_read(text, look_up, &shard, &err))
        fail_msg("%s: %s", names, err.text);
    if (shard.part != part || shard.parts != parts || strcmp(shard.source, source) != 0)
        fail_msg("%s: part %u of %u by '%s'", names, shard.part, shard.parts, shard.source);
}

static void check_refused(const char *text, const char *names, const char *words)
{
    struct bp_shard shard;
    struct bp_err err = {""};
    variables = names;
    assert_int_equal(bp_shard_read(text, look_up, &shard, &err), BP_ERR_USAGE);
    if (!strstr(err.text, words))
        fail_msg("%s: '%s' does not hold '%s'", names, err.text, words);
}

#define ARRAY(id, min, max, step, count)                                                   \
    "SLURM_ARRAY_TASK_ID=" #id ",SLURM_ARRAY_TASK_MIN=" #min ",SLURM_ARRAY_TASK_MAX=" #max \
    ",SLURM_ARRAY_TASK_STEP=" #step ",SLURM_ARRAY_TASK_COUNT=" #count
#define OMPI(rank, size) "OMPI_COMM_WORLD_RANK=" #rank ",OMPI_COMM_WORLD_SIZE=" #size
#define PMI(rank, size)  "PMI_RANK=" #rank ",PMI_SIZE=" #size
#define STEP(rank, size) "SLURM_PROCID=" #rank ",SLURM_STEP_NUM_TASKS=" #size

static void what_the_option_says_stands_whatever_the_variables_say(void **state)
{
    (void)state;
    check(NULL, "", 1, 1, "");
    check("3/4", "", 3, 4, "");
    check("1/1", OMPI(1, 2), 1, 1, "");
    check("65535/65535", OMPI(x, y), 65535, 65535, "");
}

static void every_launcher_is_read_with_and_without_auto(void **state)
{
    (void)state;
    const char *const words[] = {NULL, "auto"};
    for (int w = 0; w < 2; w++) {
        check(words[w], OMPI(0, 4), 1, 4, "OMPI_COMM_WORLD_RANK=0");
        check(words[w], PMI(3, 4), 4, 4, "PMI_RANK=3");
        check(words[w], STEP(1, 4), 2, 4, "SLURM_PROCID=1");
        check(words[w], ARRAY(0, 0, 3, 1, 4), 1, 4, "SLURM_ARRAY_TASK_ID=0");
        check(words[w], ARRAY(4, 1, 4, 1, 4), 4, 4, "SLURM_ARRAY_TASK_ID=4");
        check(words[w], ARRAY(30, 10, 40, 10, 4), 3, 4, "SLURM_ARRAY_TASK_ID=30");
        check(words[w], ARRAY(7, 7, 7, 1, 1), 1, 1, "SLURM_ARRAY_TASK_ID=7");
        check(words[w], OMPI(0, 1), 1, 1, "OMPI_COMM_WORLD_RANK=0");
    }
}

static void an_array_of_steps_has_every_part_once(void **state)
{
    (void)state;
    bool seen[6] = {false};
    for (int task = 2; task <= 4; task++)
        for (int rank = 0; rank < 2; rank++) {
            char names[256];
            struct bp_shard shard;
            snprintf(names, sizeof names,
                     "SLURM_ARRAY_TASK_ID=%d,SLURM_ARRAY_TASK_MIN=2,SLURM_ARRAY_TASK_MAX=4,"
                     "SLURM_ARRAY_TASK_STEP=1,SLURM_ARRAY_TASK_COUNT=3,SLURM_PROCID=%d,"
                     "SLURM_STEP_NUM_TASKS=2",
                     task, rank);
            variables = names;
            assert_int_equal(bp_shard_read("auto", look_up, &shard, NULL), BP_OK);
            assert_int_equal(shard.parts, 6);
            assert_in_range(shard.part, 1, 6);
            assert_false(seen[shard.part - 1]);
            seen[shard.part - 1] = true;
        }
    check(NULL, ARRAY(3, 2, 4, 1, 3) "," STEP(1, 2), 4, 6, "SLURM_ARRAY_TASK_ID=3, SLURM_PROCID=1");
}

static void the_ranks_of_mpirun_count_where_it_runs_in_a_step(void **state)
{
    (void)state;
    check(NULL, STEP(1, 2) "," OMPI(5, 8), 6, 8, "OMPI_COMM_WORLD_RANK=5");
    check(NULL, STEP(1, 2) "," PMI(5, 8), 6, 8, "PMI_RANK=5");
    check(NULL, OMPI(5, 8) "," PMI(5, 8), 6, 8, "OMPI_COMM_WORLD_RANK=5");
}

static void a_batch_script_that_runs_once_does_all(void **state)
{
    (void)state;
    check(NULL, "SLURM_PROCID=0,SLURM_NTASKS=4,SLURM_JOB_ID=7", 1, 1, "");
    check(NULL, "OMPI_COMM_WORLD_RANK=,OMPI_COMM_WORLD_SIZE=,SLURM_ARRAY_TASK_ID=", 1, 1, "");
}

static void auto_without_variables_is_refused(void **state)
{
    (void)state;
    check_refused("auto", "", "--shard auto: there are no variables");
    check_refused("auto", "SLURM_PROCID=0,SLURM_NTASKS=4", "--shard auto");
}

static void variables_that_make_no_sense_are_named(void **state)
{
    (void)state;
    check_refused(NULL, OMPI(4, 4), "OMPI_COMM_WORLD_RANK: '4' is no whole number from 0 to 3");
    check_refused(NULL, OMPI(-1, 4), "OMPI_COMM_WORLD_RANK");
    check_refused(NULL, OMPI(0, x), "OMPI_COMM_WORLD_SIZE: 'x'");
    check_refused(NULL, OMPI(0, 0), "OMPI_COMM_WORLD_SIZE: '0'");
    check_refused(NULL, OMPI(0, 65536), "OMPI_COMM_WORLD_SIZE");
    check_refused(NULL, "OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE is not set");
    check_refused(NULL, "PMI_SIZE=2", "PMI_RANK is not set");
    check_refused(NULL, "SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID is not set");
    check_refused(NULL, "SLURM_ARRAY_TASK_ID=2", "SLURM_ARRAY_TASK_MIN is not set");
    check_refused(NULL, ARRAY(5, 1, 4, 1, 4), "SLURM_ARRAY_TASK_ID is 5");
    check_refused(NULL, ARRAY(0, 1, 4, 1, 4), "SLURM_ARRAY_TASK_ID is 0");
    check_refused(NULL, ARRAY(2, 1, 7, 2, 4), "in steps of 2");
    check_refused(NULL, ARRAY(1, 1, 4, 1, 3), "not evenly spaced");
    check_refused(NULL, ARRAY(1, 4, 1, 1, 4), "SLURM_ARRAY_TASK_MAX");
    check_refused(NULL, ARRAY(1, 1, 4, 0, 4), "SLURM_ARRAY_TASK_STEP");
    check_refused(NULL, ARRAY(1, 1, 1000, 1, 1000) "," OMPI(0, 100), "more than 65535 parts");
    check_refused("auto", OMPI(1, 4) "," PMI(0, 4), "PMI_RANK is 0 of 4");
    check_refused(NULL, OMPI(1, 4) "," PMI(1, 2), "the part of the work");
}

static void options_of_another_form_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"", "4", "0/4", "5/4", "/4", "1/", "1/0", "a/b", "1/65536", "Auto"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused(bad[i], "", "--shard");
}

static void check_threads(const char *names, uint64_t available, uint64_t online, uint64_t want)
{
    uint64_t threads = 0;
    variables = names;
    assert_int_equal(bp_shard_threads(look_up, available, online, &threads, NULL), BP_OK);
    if (threads != want)
        fail_msg("%s: %u threads", names, (unsigned)threads);
}

static void processes_on_one_machine_share_its_processors(void **state)
{
    (void)state;
    check_threads("", 6, 8, 6);
    check_threads("OMPI_COMM_WORLD_LOCAL_SIZE=4", 32, 32, 8);
    check_threads("OMPI_COMM_WORLD_LOCAL_SIZE=4", 4, 32, 4); /* bound to four */
    check_threads("OMPI_COMM_WORLD_LOCAL_SIZE=64", 32, 32, 1);
    check_threads("MPI_LOCALNRANKS=2", 32, 32, 16);
    check_threads("SLURM_CPUS_PER_TASK=4", 32, 32, 4);
    check_threads("SLURM_CPUS_PER_TASK=4", 2, 32, 2);
    check_threads("SLURM_CPUS_PER_TASK=4,OMPI_COMM_WORLD_LOCAL_SIZE=16", 32, 32, 4);
    uint64_t threads;
    struct bp_err err = {""};
    variables = "SLURM_CPUS_PER_TASK=many";
    assert_int_equal(bp_shard_threads(look_up, 1, 1, &threads, &err), BP_ERR_USAGE);
    assert_non_null(strstr(err.text, "SLURM_CPUS_PER_TASK"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_option_says_stands_whatever_the_variables_say),
        cmocka_unit_test(every_launcher_is_read_with_and_without_auto),
        cmocka_unit_test(an_array_of_steps_has_every_part_once),
        cmocka_unit_test(the_ranks_of_mpirun_count_where_it_runs_in_a_step),
        cmocka_unit_test(a_batch_script_that_runs_once_does_all),
        cmocka_unit_test(auto_without_variables_is_refused),
        cmocka_unit_test(variables_that_make_no_sense_are_named),
        cmocka_unit_test(options_of_another_form_are_refused),
        cmocka_unit_test(processes_on_one_machine_share_its_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
