/* Runs a fuzz target over saved inputs, so that any compiler replays the corpus in every test run:
 *     replay FILE-OR-FOLDER... */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int die(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    return -1;
}

/* Number of inputs run, -1 on failure. */
static long replay_file(const char *path, long size)
{
    /* The exact size, so that a sanitizer sees a byte read too many. */
    uint8_t *data = malloc(size ? (size_t)size : 1);
    FILE *in = fopen(path, "rb");
    if (!data || !in || fread(data, 1, (size_t)size, in) != (size_t)size) {
        if (in)
            fclose(in);
        free(data);
        return die(path);
    }
    fclose(in);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return 1;
}

static long replay(const char *path);

static long replay_folder(const char *path)
{
    long n = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return die(path);
    for (struct dirent *entry; n >= 0 && (entry = readdir(dir));) {
        char file[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        long more = replay(file);
        n = more < 0 ? -1 : n + more;
    }
    closedir(dir);
    return n;
}

static long replay(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return die(path);
    return S_ISDIR(info.st_mode) ? replay_folder(path) : replay_file(path, (long)info.st_size);
}

int main(int argc, char **argv)
{
    long total = 0;
    for (int i = 1; i < argc; i++) {
        long n = replay(argv[i]);
        if (n < 0)
            return 1;
        total += n;
    }
    if (total == 0) {
        fprintf(stderr, "replay: no inputs; usage: replay FILE-OR-FOLDER...\n");
        return 2;
    }
    printf("replayed %ld inputs\n", total);
    return 0;
}
