/* Paths that lead nowhere: each says why. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void try_it(const char *what, int result)
{
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "fine");
}

int main(void)
{
    static char name[300], path[5000];
    memset(name, 'n', 299);
    memset(path, '/', 4999);
    close(open("plain.tmp", O_CREAT | O_WRONLY, 0600));
    mkdir("full.tmp", 0700);
    close(open("full.tmp/in", O_CREAT | O_WRONLY, 0600));
    try_it("long name", open(name, O_RDONLY));
    try_it("long path", open(path, O_RDONLY));
    try_it("file as directory", open("plain.tmp/x/y", O_RDONLY));
    try_it("not there", open("none.tmp/x", O_CREAT | O_WRONLY, 0600));
    try_it("directory there", mkdir("full.tmp", 0700));
    try_it("not empty", rmdir("full.tmp"));
    try_it("rmdir file", rmdir("plain.tmp"));
    try_it("unlink directory", unlink("full.tmp"));
    try_it("chdir file", chdir("plain.tmp"));
    try_it("bad address", open((char *)16, O_RDONLY));
    try_it("link directory", link("full.tmp", "other.tmp"));
    try_it("dot", rmdir("full.tmp/."));
    try_it("over a full one", rename("full.tmp", "full.tmp"));
    try_it("file over directory", rename("plain.tmp", "full.tmp"));
    try_it("directory over file", rename("full.tmp", "plain.tmp"));
    try_it("empty link", symlink("", "empty.tmp"));
    try_it("readlink of a file", (int)readlink("plain.tmp", path, 10));
    try_it("truncate directory", truncate("full.tmp", 0));
    unlink("plain.tmp"), unlink("full.tmp/in"), rmdir("full.tmp");
    return 0;
}
