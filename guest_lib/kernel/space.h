/*
 * space.h: the program's memory as it was asked for; pages come when they are touched.
 *
 * A region is a range with one protection and one origin: anonymous, or a private copy of bytes of
 * the image. Pages of the image that a program only reads are mapped where the loader put them
 * ("borrowed"); the first write makes a copy.
 */
#ifndef SPACE_H
#define SPACE_H

#include "kernel.h"

/* PROT_* and MAP_* as Linux's. */
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4 };
enum { SPACE_STACK = 1 }; /* a promise only: does not have to fit into free memory */

struct region {
    uint64_t start, end;
    uint32_t prot, flags;
    uint64_t source;     /* physical address of the bytes for `start`, page-aligned; 0: zeroes */
    uint64_t source_end; /* zeroes from here on */
};

int space_init(void);
int space_map(uint64_t start, uint64_t length, uint32_t prot, uint32_t flags);
int space_map_image(uint64_t start, uint64_t length, uint32_t prot, uint64_t source,
                    uint64_t source_end);
int space_unmap(uint64_t start, uint64_t length);
int space_protect(uint64_t start, uint64_t length, uint32_t prot);
int space_discard(uint64_t start, uint64_t length); /* contents back to the origin's */
int space_move(uint64_t from, uint64_t to, uint64_t length);
const struct region *space_find(uint64_t address); /* the region that has it, or NULL */
/* A free range, below `hint` if that is free, else the highest one. 0: none. */
uint64_t space_gap(uint64_t hint, uint64_t length);
bool space_is_free(uint64_t start, uint64_t length);
/* 0, -EFAULT, or -ENOMEM when the page is rightfully there but memory ran out. */
int space_fault(uint64_t address, uint32_t access);

#endif
