/* ramfs.c: inodes, directories and file contents; paths through them are path.c's. */
#include "ramfs.h"
#include "changes.h"
#include "clock.h"
#include "file.h"
#include "heap.h"
#include "inode.h"
#include "layout.h"
#include "page.h"
#include "proc.h"
#include "random.h"
#include "space.h"
#include "user.h"

struct inode *root;
static uint64_t next_number = 1;
static bool making; /* the first files, from the kernel's own memory */

static void *room_for(size_t n) { return making ? heap_alloc(n) : heap_alloc_for_program(n); }

/* ---- inodes ------------------------------------------------------------------------------- */

struct inode *inode_new(unsigned mode)
{
    struct inode *i = room_for(sizeof *i);
    if (i) {
        i->number = next_number++;
        i->mode = mode;
        i->links = S_ISDIR(mode) ? 2 : 0;
        i->accessed_ns = i->modified_ns = i->changed_ns = clock_wall();
    }
    return i;
}

void inode_put(struct inode *i)
{
    if (--i->references > 0 || i->links > (S_ISDIR(i->mode) ? 1u : 0u))
        return;
    inode_truncate(i, 0);
    heap_free(i->pages);
    heap_free(i->target);
    heap_free(i);
}

/* ---- directories -------------------------------------------------------------------------- */

struct entry *directory_find(struct inode *directory, const char *name, size_t n)
{
    for (struct entry *e = directory->entries; e; e = e->next)
        if (e->length == n && !memcmp(e->name, name, n))
            return e;
    return NULL;
}

static void touch(struct inode *directory)
{
    directory->modified_ns = directory->changed_ns = clock_wall();
}

int directory_add(struct inode *directory, const char *name, size_t n, struct inode *i)
{
    if (!directory->parent && i != root)
        return -ENOENT; /* removed, and only held open */
    struct entry *e = room_for(sizeof *e + n), **at = &directory->entries;
    if (!e)
        return -ENOMEM;
    memcpy(e->name, name, n);
    e->length = n;
    e->inode = i;
    e->cookie = ++directory->cookies + 1; /* 0 and 1 are . and .. */
    while (*at)
        at = &(*at)->next;
    *at = e;
    i->links++;
    if (S_ISDIR(i->mode)) {
        i->links = 2;
        i->parent = directory;
        directory->links++;
    }
    touch(directory);
    return 0;
}

void directory_remove(struct inode *directory, struct entry *e)
{
    struct entry **at = &directory->entries;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->inode->links--;
    e->inode->changed_ns = clock_wall();
    if (S_ISDIR(e->inode->mode)) {
        e->inode->links = 1;
        e->inode->parent = NULL;
        directory->links--;
    }
    touch(directory);
    e->inode->references++;
    inode_put(e->inode);
    heap_free(e);
}

/* ---- contents ----------------------------------------------------------------------------- */

static int reserve_pages(struct inode *i, uint64_t pages)
{
    if (pages <= i->capacity)
        return 0;
    uint64_t capacity = MAX(pages, i->capacity * 2);
    uint64_t *more = heap_alloc_for_program(capacity * sizeof *more);
    if (!more)
        return -ENOSPC;
    if (i->pages)
        memcpy(more, i->pages, i->capacity * sizeof *more);
    heap_free(i->pages);
    i->pages = more;
    i->capacity = capacity;
    return 0;
}

int inode_truncate(struct inode *i, uint64_t size)
{
    if (size > FILE_MAX)
        return -EFBIG;
    if (size < i->size)
        space_file_changed(i, ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE, FILE_MAX / PAGE_SIZE, true);
    for (uint64_t n = ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE; n < i->capacity; n++) {
        if (i->pages[n])
            page_free(i->pages[n]);
        i->pages[n] = 0;
    }
    if (size & PAGE_MASK && size / PAGE_SIZE < i->capacity && i->pages[size / PAGE_SIZE]) {
        memset((char *)phys_to_virt(i->pages[size / PAGE_SIZE]) + (size & PAGE_MASK), 0,
               PAGE_SIZE - (size & PAGE_MASK));
        changed_page(i->pages[size / PAGE_SIZE]);
    }
    i->baked_bytes = MIN(i->baked_bytes, size);
    i->size = size;
    inode_written(i);
    return 0;
}

void inode_written(struct inode *i) { i->modified_ns = i->changed_ns = clock_wall(); }

void inode_bake(struct inode *i, uint64_t pa, uint64_t size)
{
    i->baked = pa;
    i->baked_bytes = i->size = size;
}

size_t inode_page(const struct inode *i, uint64_t page, const char **bytes)
{
    bool own = page < i->capacity && i->pages[page];
    uint64_t at = page * PAGE_SIZE;
    *bytes = phys_to_virt(own ? i->pages[page] : i->baked + at);
    return own ? PAGE_SIZE : at < i->baked_bytes ? MIN(PAGE_SIZE, i->baked_bytes - at) : 0;
}

char *inode_own_page(struct inode *i, uint64_t page)
{
    const char *bytes;
    if (reserve_pages(i, page + 1))
        return NULL;
    if (!i->pages[page]) {
        size_t n = inode_page(i, page, &bytes);
        uint64_t pa = page_alloc(PAGE_PROGRAM);
        if (!pa)
            return NULL;
        memcpy(phys_to_virt(pa), bytes, n);
        i->pages[page] = pa;
        space_file_changed(i, page, page + 1, false);
    }
    changed_page(i->pages[page]);
    return phys_to_virt(i->pages[page]);
}

static int64_t regular_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    struct inode *i = f->inode;
    size_t done = 0;
    n = *at < i->size ? MIN(n, i->size - *at) : 0;
    while (done < n) {
        const char *bytes;
        size_t offset = *at & PAGE_MASK, part = MIN(n - done, PAGE_SIZE - offset);
        size_t have = inode_page(i, *at / PAGE_SIZE, &bytes);
        part = have > offset ? MIN(part, have - offset) : part;
        int error = have > offset ? user_write(to + done, bytes + offset, part)
                                  : user_zero(to + done, part);
        if (error)
            return done ? (int64_t)done : error;
        done += part;
        *at += part;
    }
    i->accessed_ns = clock_wall();
    return (int64_t)done;
}

static int64_t regular_write(struct file *f, uint64_t from, size_t n, uint64_t *at)
{
    struct inode *i = f->inode;
    size_t done = 0;
    if (f->flags & O_APPEND)
        *at = i->size;
    if (*at > FILE_MAX || n > FILE_MAX - *at)
        return -EFBIG;
    while (done < n) {
        size_t offset = *at & PAGE_MASK, part = MIN(n - done, PAGE_SIZE - offset);
        char *page = inode_own_page(i, *at / PAGE_SIZE);
        if (!page)
            return done ? (int64_t)done : -ENOSPC;
        if (user_read(page + offset, from + done, part))
            return done ? (int64_t)done : -EFAULT;
        done += part;
        *at += part;
        i->size = MAX(i->size, *at);
    }
    inode_written(i);
    return (int64_t)done;
}

void inode_close(struct file *f) { inode_put(f->inode); }

/* ---- devices ------------------------------------------------------------------------------ */

static int64_t null_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    (void)f, (void)to, (void)n, (void)at;
    return 0;
}
static int64_t null_write(struct file *f, uint64_t from, size_t n, uint64_t *at)
{
    (void)f, (void)from, (void)at;
    return (int64_t)n;
}
static int64_t zero_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    (void)f, (void)at;
    return user_zero(to, n) ? -EFAULT : (int64_t)n;
}
static int64_t random_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    char part[256];
    (void)f, (void)at;
    n = MIN(n, RANDOM_AT_ONCE);
    for (size_t done = 0; done < n; done += sizeof part) {
        random_bytes(part, sizeof part);
        if (user_write(to + done, part, MIN(n - done, sizeof part)))
            return -EFAULT;
    }
    return (int64_t)n;
}
static int64_t full_write(struct file *f, uint64_t from, size_t n, uint64_t *at)
{
    (void)f, (void)from, (void)n, (void)at;
    return -ENOSPC;
}

static const struct file_operations directory_operations = {.close = inode_close};
static const struct file_operations regular_operations = {
    .read = regular_read, .write = regular_write, .close = inode_close};
static const struct file_operations null_operations = {
    .read = null_read, .write = null_write, .close = inode_close};
static const struct file_operations zero_operations = {
    .read = zero_read, .write = null_write, .close = inode_close};
static const struct file_operations random_operations = {
    .read = random_read, .write = null_write, .close = inode_close};
static const struct file_operations full_operations = {
    .read = zero_read, .write = full_write, .close = inode_close};

bool inode_is_zero(const struct inode *i) { return i->device == &zero_operations; }

const struct file_operations *inode_operations(const struct inode *i)
{
    return i->device ? i->device : S_ISDIR(i->mode) ? &directory_operations : &regular_operations;
}

/* ---- start -------------------------------------------------------------------------------- */

/* The directory or file called so, made if it is not there. NULL: it is there as something else. */
static struct inode *make(struct inode *directory, const char *name, size_t n, unsigned mode)
{
    struct entry *e = directory_find(directory, name, n);
    if (e)
        return S_ISDIR(mode) && S_ISDIR(e->inode->mode) ? e->inode : NULL;
    struct inode *i = inode_new(mode);
    if (!i || directory_add(directory, name, n, i))
        panic("no memory for files");
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

struct inode *ramfs_make_path(const char *path, size_t n, unsigned mode)
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

struct inode *ramfs_make(const char *path, unsigned mode)
{
    struct inode *i = ramfs_make_path(path, strlen(path), mode);
    if (!i)
        panic("%s cannot be made", path);
    return i;
}

void ramfs_link(const char *path, const char *target)
{
    struct inode *i = ramfs_make(path, S_IFLNK | 0777);
    i->size = strlen(target);
    i->target = heap_alloc(i->size + 1);
    if (!i->target)
        panic("no memory for files");
    memcpy(i->target, target, i->size);
}

static void ramfs_init(void)
{
    static const struct {
        const char *path;
        const struct file_operations *operations;
        uintptr_t data;
    } devices[] = {{"/dev/null", &null_operations, 0},      {"/dev/zero", &zero_operations, 0},
                   {"/dev/full", &full_operations, 0},      {"/dev/random", &random_operations, 0},
                   {"/dev/urandom", &random_operations, 0}, {"/dev/stdin", &console_operations, 0},
                   {"/dev/stdout", &console_operations, 1}, {"/dev/stderr", &console_operations, 2},
                   {"/dev/tty", &console_operations, 1}};
    root = inode_new(S_IFDIR | 0755);
    if (!root)
        panic("no memory for files");
    root->parent = root;
    ramfs_make("/tmp", S_IFDIR | 01777);
    ramfs_make("/dev/shm", S_IFDIR | 01777);
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        struct inode *device = ramfs_make(devices[i].path, S_IFCHR | 0666);
        device->device = devices[i].operations;
        device->data = devices[i].data;
    }
    ramfs_link("/dev/fd", "/proc/self/fd");
}

void ramfs_ready(void)
{
    if (root)
        return;
    making = true;
    ramfs_init();
    proc_init();
    baked_init();
    making = false;
}
