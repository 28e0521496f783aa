/* The manual page, from the same tables as the help: `bitplan --man > bitplan.1`. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

/* What roff would take for something else: the ASCII characters that it prints as typographic ones,
 * and a control character at the beginning of a line. */
static const char *escape(char c)
{
    switch (c) {
    case '\\':
        return "\\e";
    case '-':
        return "\\-";
    case '"':
        return "\\(dq";
    case '\'':
        return "\\(aq";
    case '`':
        return "\\(ga";
    case '^':
        return "\\(ha";
    case '~':
        return "\\(ti";
    default:
        return NULL;
    }
}

static void put(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '.' && (p == text || p[-1] == '\n'))
            fputs("\\&", stdout);
        if (escape(*p))
            fputs(escape(*p), stdout);
        else
            putchar(*p);
    }
}

static void put_heading(const char *text)
{
    fputs(".SH ", stdout);
    for (; *text; text++)
        putchar(toupper((unsigned char)*text));
    putchar('\n');
}

static void put_option(enum bp_option option)
{
    const struct bp_option_row *row = bp_option_row(option);
    fputs(".TP\n.B ", stdout);
    if (row->letter)
        printf("\\-%c, ", row->letter);
    put(row->spelling);
    if (row->arg) {
        fputs(" \\fI", stdout);
        put(row->arg);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put(row->help);
    putchar('\n');
}

static void put_command(const struct bp_command *c)
{
    fputs(".SS \"bitplan ", stdout);
    put(c->name);
    putchar(' ');
    put(c->operands);
    fputs(" [OPTIONS]\"\n", stdout);
    put(c->summary);
    fputs(".\n", stdout);
    if (*c->notes) {
        fputs(".PP\n", stdout);
        put(c->notes);
        putchar('\n');
    }
    for (size_t i = 0; i < c->n_options; i++)
        put_option(c->options[i]);
}

/* --- the workbench's pieces --- */

static const char *section_now = "", *group_now = "";

static void put_piece(const char *section, const char *group, const char *term, const char *text)
{
    if (strcmp(section, section_now) != 0)
        put_heading(section);
    if (strcmp(group, group_now) != 0 && *group) {
        fputs(".SS ", stdout);
        put(group);
        putchar('\n');
    }
    section_now = section;
    group_now = group;
    if (*term) {
        fputs(".TP\n\\fB", stdout);
        put(term);
        fputs("\\fR\n", stdout);
    }
    put(text);
    putchar('\n');
}

/* --- the page --- */

void bp_print_man(const struct bp_command *const *commands, size_t n, const char *version)
{
    printf(".TH BITPLAN 1 \"\" \"bitplan %s\" \"User Commands\"\n", version);
    put_heading("Name");
    puts("bitplan \\- plan the quantization of a model's matrices under one memory budget");
    put_heading("Synopsis");
    puts(".B bitplan\n[\\fIFILE\\fR] [\\fIOPTIONS\\fR]\n.br\n"
         ".B bitplan\n.I COMMAND\n[\\fIOPERAND\\fR] [\\fIOPTIONS\\fR]");
    put_heading("Description");
    puts(
        "bitplan measures the error that every candidate quantization of every weight matrix of a\n"
        "model would make, and finds the choice of least total error within a memory budget, with\n"
        "a proof that there is none better (LQ\\-LoRA, arXiv 2311.12023).\n"
        ".PP\n"
        "With a table, a session, a plan or a model, or with no file at all, it opens the\n"
        "workbench: a screen that shows the plan and solves it anew while the budget moves.");
    put_heading("Commands");
    for (size_t i = 0; i < n; i++)
        put_command(commands[i]);
    bp_cli_workbench->manual(put_piece);
    put_heading("Exit status");
    puts("0 done, 1 failed, 2 wrong usage, 3 no plan fits the budget, 4 bad input.");
    put_heading("Examples");
    puts(".nf\nbitplan\nbitplan measure MODEL \\-o table.safetensors \\-\\-rank 64\n"
         "bitplan table.safetensors\n"
         "bitplan solve table.safetensors \\-\\-bits 2.75 \\-o plan.json\n"
         "bitplan verify plan.json \\-\\-model MODEL\n.fi");
}
