/* resident.h: what space.c does to the pages of a range; space_fault is how they come. */
#ifndef RESIDENT_H
#define RESIDENT_H

#include "kernel.h"

void resident_drop(uint64_t start, uint64_t end);
void resident_drop_borrowed(uint64_t start, uint64_t end); /* the program's own copies stay */
void resident_free(uint64_t start, uint64_t end);          /* the tables too */
void resident_protect(uint64_t start, uint64_t end, uint32_t prot);
/* Hands over pages until `length` or until there is no table for one; how far it came. */
uint64_t resident_move(uint64_t from, uint64_t to, uint64_t length);

#endif
