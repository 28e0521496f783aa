/* The manual page, from the same tables as the help: `bitplan --man > bitplan.1`. */
#include <ctype.h>
#include <stdio.h>

#include "cli/commands.h"

/* Text with roff's special characters taken literally. */
static void put(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            putchar('\\');
        putchar(*text == '\\' ? 'e' : *text);
        if (*text == '\n' && (text[1] == '.' || text[1] == '\''))
            fputs("\\&", stdout);
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

void bp_print_man(const struct bp_command *const *commands, size_t n, const char *version)
{
    printf(".TH BITPLAN 1 \"\" \"bitplan %s\" \"User Commands\"\n", version);
    put_heading("Name");
    puts("bitplan \\- plan the quantization of a model's matrices under one memory budget");
    put_heading("Synopsis");
    puts(".B bitplan\n.I COMMAND\n[\\fIOPERAND\\fR] [\\fIOPTIONS\\fR]");
    put_heading("Description");
    puts(
        "bitplan measures the error that every candidate quantization of every weight matrix of a\n"
        "model would make, and finds the choice of least total error within a memory budget, with\n"
        "a proof that there is none better (LQ\\-LoRA, arXiv 2311.12023).");
    put_heading("Commands");
    for (size_t i = 0; i < n; i++)
        put_command(commands[i]);
    put_heading("Exit status");
    puts("0 done, 1 failed, 2 wrong usage, 3 no plan fits the budget, 4 bad input.");
    put_heading("Examples");
    puts(".nf\nbitplan measure MODEL \\-o table.safetensors \\-\\-rank 64\n"
         "bitplan solve table.safetensors \\-\\-bits 2.75 \\-o plan.json\n"
         "bitplan verify plan.json \\-\\-model MODEL\n.fi");
}
