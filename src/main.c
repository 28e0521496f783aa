/* Picks the command, nothing else. */
#include "cli/commands.h"

int main(int argc, char **argv)
{
    return bp_cli_main(argc, argv);
}
