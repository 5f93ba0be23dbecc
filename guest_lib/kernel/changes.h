/*
 * changes.h: which pages of RAM may have changed since the host last asked.
 *
 * The host copies a VM's memory while it runs, stage by stage; each stage looks at what changed
 * since the one before, and so does the last one, after parking. A page said too often costs the
 * host a look; a page said too seldom is a broken VM. So:
 *
 *   constant       kernel's text and rodata, the image: never
 *   the kernel's   its data, its heap, its own tables, these maps: always
 *   the program's  when the CPU marked the page's entry as written, which paging.c knows, and
 *                  when the kernel writes it by the direct map, which the kernel says:
 *                  page_alloc, page_free, user_write, user_zero, user_page for writing, user_read
 *                  into such a page (a file's, a pipe's) and paging_entry (of the table) do so.
 *                  Whoever writes to a page in another way calls changed_at.
 *
 * What was told counts as unheard until the host says, in its next question, that it came in whole.
 */
#ifndef CHANGES_H
#define CHANGES_H

#include "kernel.h"

#define CHANGES_MAPS 3 /* that page.c makes room for beside its own */

/* `maps`: page.c's own, then CHANGES_MAPS of the same size; zero, page-aligned, a bit a page. */
void changes_init(uint64_t *maps, uint64_t words);
void changed_page(uint64_t pa);
void changed_at(const void *p);             /* a place in the direct map; others are the kernel's */
void changes_own(uint64_t pa, bool kernel); /* whose a page is from now on */

/* Starts a new stage `nonce`. `known`: the last one whose report the host has. The
 * report is then what may have changed since that one, or since the latest that was heard of. */
void changes_stage(uint64_t nonce, uint64_t known);
void changes_restart(void); /* a warm start: memory is what the snapshot holds */

/* The report as CHANGED frames, one after the other; where they end. They take changes_bound()
 * bytes at most, and go into one buffer: what is told is one instant's. */
uint8_t *changes_put(uint8_t *out);
size_t changes_bound(void);

#endif
