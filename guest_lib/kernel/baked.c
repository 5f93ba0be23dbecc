/* baked.c: the files of `build --file`, as inodes whose contents stay where QEMU's loader put them.
 * The table is the image's, and an image may come from anywhere: it is checked, every byte of it. */
#include "image.h"
#include "inode.h"
#include "layout.h"
#include "ramfs.h"

/* The directory or file called so, made if it is not there. NULL: it is there as something else. */
static struct inode *make(struct inode *directory, const char *name, size_t n, unsigned mode)
{
    struct entry *e = directory_find(directory, name, n);
    if (e)
        return S_ISDIR(mode) && S_ISDIR(e->inode->mode) ? e->inode : NULL;
    struct inode *i = inode_new(mode);
    if (!i || directory_add(directory, name, n, i))
        panic("no memory for the image's files");
    return i;
}

static bool good_name(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!name[i])
            return false;
    bool dots = name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.'));
    return n > 0 && n <= NAME_LENGTH_MAX && !dots;
}

static struct inode *make_path(const char *path, size_t n, unsigned mode)
{
    struct inode *i = root;
    if (n < 2 || path[0] != '/')
        return NULL;
    for (size_t at = 1, end; i && at <= n; at = end + 1) {
        for (end = at; end < n && path[end] != '/';)
            end++;
        if (!good_name(path + at, end - at))
            return NULL;
        i = make(i, path + at, end - at, end == n ? mode : S_IFDIR | 0755);
    }
    return i;
}

/* Adds the file of one record; false if the record cannot be. */
static bool add(const struct image_file *f, uint64_t files_at, uint64_t bytes)
{
    unsigned type = f->mode & S_IFMT;
    if ((type != S_IFREG && type != S_IFDIR) || f->mode & ~(S_IFMT | 0777) ||
        f->path_bytes >= PATH_LENGTH_MAX || f->offset > bytes || f->size > bytes - f->offset)
        return false;
    struct inode *i = make_path(f->path, f->path_bytes, f->mode);
    if (i && type == S_IFREG)
        inode_bake(i, files_at + f->offset, f->size);
    return i;
}

void baked_init(void)
{
    uint64_t bytes, files_at = image_files(&bytes), at = sizeof(uint64_t);
    const char *table = phys_to_virt(files_at);
    if (!bytes)
        return;
    uint64_t count = *(const uint64_t *)table;
    for (uint64_t n = 0; n < count; n++) {
        const struct image_file *f = (const struct image_file *)(table + at);
        if (bytes < at + sizeof *f || bytes - at - sizeof *f < f->path_bytes ||
            !add(f, files_at, bytes))
            panic("file %lu of the image is broken", n);
        at = ALIGN_UP(at + sizeof *f + f->path_bytes, 8);
    }
}
