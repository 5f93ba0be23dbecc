/* Whole trees: made, walked, sorted, matched, removed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <fts.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int files, directories, deepest;

static int each(const char *path, const struct stat *s, int type, struct FTW *at)
{
    files += type == FTW_F;
    directories += type == FTW_D || type == FTW_DP;
    deepest = at->level > deepest ? at->level : deepest;
    return type == FTW_DP ? rmdir(path) : s ? 0 : 1;
}

int main(void)
{
    char path[64];
    mkdir("walk.tmp", 0700);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "walk.tmp/d%d", i);
        mkdir(path, 0700);
        for (int j = 0; j < 4; j++) {
            snprintf(path, sizeof path, "walk.tmp/d%d/f%d.%s", i, 3 - j, j % 2 ? "c" : "h");
            close(open(path, O_CREAT | O_WRONLY, 0600));
        }
    }
    nftw("walk.tmp", each, 8, FTW_PHYS);
    printf("%d %d %d\n", files, directories, deepest);
    struct dirent **list;
    int n = scandir("walk.tmp/d1", &list, NULL, alphasort);
    for (int i = 0; i < n; i++)
        printf("%s ", list[i]->d_name);
    glob_t g;
    printf("\n%d\n", glob("walk.tmp/*/f[12].c", 0, NULL, &g));
    for (size_t i = 0; i < g.gl_pathc; i++)
        printf("%s ", g.gl_pathv[i]);
    char *roots[] = {"walk.tmp", NULL};
    FTS *f = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int seen = 0;
    for (FTSENT *e; (e = fts_read(f));)
        if (e->fts_info == FTS_F)
            seen += !unlink(e->fts_accpath);
    fts_close(f);
    printf("\n%d\n", seen);
    nftw("walk.tmp", each, 8, FTW_PHYS | FTW_DEPTH);
    printf("%d\n", access("walk.tmp", F_OK));
    return 0;
}
