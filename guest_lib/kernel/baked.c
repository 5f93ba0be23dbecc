/* baked.c: the files of `build --file`, as inodes whose contents stay where QEMU's loader put them.
 * The table is the image's, and an image may come from anywhere: it is checked, every byte of it. */
#include "image.h"
#include "inode.h"
#include "layout.h"
#include "ramfs.h"

/* Adds the file of one record; false if the record cannot be. */
static bool add(const struct image_file *f, uint64_t files_at, uint64_t bytes)
{
    unsigned type = f->mode & S_IFMT;
    if ((type != S_IFREG && type != S_IFDIR) || f->mode & ~(S_IFMT | 0777) ||
        f->path_bytes >= PATH_LENGTH_MAX || f->offset > bytes || f->size > bytes - f->offset)
        return false;
    struct inode *i = ramfs_make_path(f->path, f->path_bytes, f->mode);
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
