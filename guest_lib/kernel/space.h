/*
 * space.h: the program's memory as it was asked for; pages come when they are touched.
 *
 * A region is a range with one protection and one origin: anonymous, or bytes of the image, or a
 * file's. A page that belongs to the image or to a file is mapped where it is ("borrowed"); the
 * first write makes a copy, but in a shared mapping, where it writes to the file's own page.
 */
#ifndef SPACE_H
#define SPACE_H

#include "kernel.h"

/* PROT_* and MAP_* as Linux's. */
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4 };
/* SPACE_STACK: a promise only, does not have to fit into free memory; SPACE_CONSTANT: a shared
 * mapping of a file that was opened for reading. */
enum { SPACE_STACK = 1, SPACE_SHARED = 2, SPACE_CONSTANT = 4 };

struct inode;

struct region {
    uint64_t start, end;
    uint32_t prot, flags;
    struct inode *file;
    uint64_t source; /* of `start`, page-aligned: where in the file; else the physical address */
    uint64_t source_end; /* image: zeroes from here on; anonymous: 0 */
};

extern struct region *space_regions; /* sorted */
extern size_t space_count;
int space_init(uint64_t top); /* new mappings go below it */
void space_promise_all(void); /* refuse nothing for being more than there is */
int space_map(uint64_t start, uint64_t length, uint32_t prot, uint32_t flags);
int space_map_image(uint64_t start, uint64_t length, uint32_t prot, uint64_t source,
                    uint64_t source_end);
int space_map_file(uint64_t start, uint64_t length, uint32_t prot, uint32_t flags,
                   struct inode *file, uint64_t offset);
/* The file has other pages now from `first` to `end`: forget those that are mapped; if they are
 * gone, private copies too. */
void space_file_changed(const struct inode *file, uint64_t first, uint64_t end, bool gone);
int space_unmap(uint64_t start, uint64_t length);
int space_protect(uint64_t start, uint64_t length, uint32_t prot);
int space_discard(uint64_t start, uint64_t length); /* contents back to the origin's */
int space_move(uint64_t from, uint64_t to, uint64_t length);
const struct region *space_find(uint64_t address); /* the region that has it, or NULL */
const struct region *space_next(uint64_t address); /* the first that ends after it, or NULL */
#define SPACE_REGIONS_MAX 32768
/* A free range, below `hint` if that is free, else the highest one. 0: none. */
uint64_t space_gap(uint64_t hint, uint64_t length);
bool space_is_free(uint64_t start, uint64_t length);
/* resident.c. 0, -EFAULT, -ENXIO beyond a file's end, or -ENOMEM when the page is rightfully there
 * but memory ran out. */
int space_fault(uint64_t address, uint32_t access);

#endif
