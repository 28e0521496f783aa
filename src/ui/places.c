#include "ui/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/mem.h"

/* $VARIABLE/bitplan, or $HOME/fallback/bitplan; relative paths are to be ignored (XDG). */
static char *folder(const char *variable, const char *fallback)
{
    const char *base = getenv(variable);
    if (base && base[0] == '/')
        return bp_format("%s/bitplan", base);
    const char *home = getenv("HOME");
    if (!home || home[0] != '/')
        return NULL;
    return bp_format("%s/%s/bitplan", home, fallback);
}

/* mkdir -p with the rights that the specification asks for. */
static int make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        *p = '/';
        if (failed)
            return -1;
    }
    return mkdir(path, 0700) != 0 && errno != EEXIST ? -1 : 0;
}

char *bp_place_state(const char *name)
{
    char *base = folder("XDG_STATE_HOME", ".local/state");
    char *path = NULL;
    if (base && make_folders(base) == 0)
        path = bp_format("%s/%s", base, name);
    free(base);
    return path;
}

char *bp_place_config(const char *name)
{
    char *base = folder("XDG_CONFIG_HOME", ".config");
    char *path = base ? bp_format("%s/%s", base, name) : NULL;
    free(base);
    return path;
}
