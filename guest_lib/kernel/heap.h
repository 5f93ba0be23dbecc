/*
 * heap.h: the kernel's own memory. Returns NULL when there is none: callers turn that into ENOMEM.
 * Small objects share pages by size; bigger ones and stacks get pages of their own, with an
 * unmapped page before them.
 */
#ifndef HEAP_H
#define HEAP_H

#include "kernel.h"

void *heap_alloc(size_t n); /* zeroed */
/* For what a program makes the kernel keep: leaves the kernel's reserve alone. */
void *heap_alloc_for_program(size_t n);
void heap_free(void *p); /* NULL is fine */

#endif
