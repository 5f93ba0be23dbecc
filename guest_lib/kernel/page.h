/*
 * page.h: pages of RAM to give away, lowest first, so that a VM's memory stays compact.
 *
 * A page that nobody owns is zero: QEMU hands over zeroed RAM, and page_free zeroes. So page_alloc
 * need not, and freed pages cost nothing in a snapshot.
 */
#ifndef PAGE_H
#define PAGE_H

#include "kernel.h"

enum page_use { PAGE_PROGRAM, PAGE_KERNEL }; /* the kernel may use the reserve */

void page_init(uint64_t memory_bytes, uint64_t first_free);
uint64_t page_alloc(enum page_use use); /* physical address of a zero page; 0: none left */
void page_free(uint64_t pa);            /* a page outside the pool (of the image) is left alone */
uint64_t pages_free(void);              /* that a program could have */
uint64_t pages_total(void);
void page_reserve(uint64_t pages);
uint64_t memory_size(void); /* bytes of RAM */

#endif
