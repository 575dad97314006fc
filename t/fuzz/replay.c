/* Runs a fuzz target over its corpus, t/fuzz/corpus/<name of the program>, and
 * speaks TAP. For compilers without libFuzzer, and for `make check'. */
#include <dirent.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

static int replay(const char *path)
{
    struct stat st;
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    int ok = 0;

    if (file && fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode)) {
        size_t size = (size_t)st.st_size;

        /* exact size: ASan sees any read past the end */
        data = malloc(size ? size : 1);
        ok = data && fread(data, 1, size, file) == size && LLVMFuzzerTestOneInput(data, size) == 0;
    }
    free(data);
    if (file) {
        fclose(file);
    }
    return ok;
}

int main(int argc, char **argv)
{
    const char *srcdir = getenv("USHER_SRCDIR");
    char dir[2048], path[4096];
    const char *name = strrchr(argv[0], '/');
    struct dirent *entry;
    DIR *corpus;
    int count = 0, failed = 0;

    name = name ? name + 1 : argv[0];
    name = strncmp(name, "lt-", 3) ? name : name + 3; /* libtool's wrapper */
    snprintf(dir, sizeof(dir), "%s/t/fuzz/corpus/%s", srcdir ? srcdir : ".", name);
    corpus = opendir(dir);
    while (corpus && (entry = readdir(corpus)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (replay(path)) {
            printf("ok %d - %s/%s\n", ++count, name, entry->d_name);
        }
        else {
            printf("not ok %d - %s/%s\n", ++count, name, entry->d_name);
            ++failed;
        }
    }
    if (corpus) {
        closedir(corpus);
    }
    if (!count) {
        printf("not ok 1 - no corpus in %s\n", dir);
        count = failed = 1;
    }
    printf("1..%d\n", count);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
