/* page.c: a bitmap of pages, one bit each, set when taken; behind it those of changes.c. */
#include "page.h"
#include "changes.h"
#include "layout.h"

static uint64_t *taken;
static uint64_t first, end; /* page numbers in the pool: [first, end), from RAM_BASE on */
static uint64_t hint;       /* no free page below it */
static uint64_t free_count, reserve = 32;

void page_init(uint64_t memory_bytes, uint64_t first_free)
{
    end = memory_bytes / PAGE_SIZE;
    uint64_t words = end / 64 + 1;
    uint64_t map_bytes = ALIGN_UP(words * 8 * (1 + CHANGES_MAPS), PAGE_SIZE);
    if (first_free - RAM_BASE + map_bytes + (1UL << 20) > memory_bytes)
        panic("%lu KiB of memory are too few for this image", memory_bytes >> 10);
    taken = phys_to_virt(first_free);
    memset(taken, 0, map_bytes);
    first = hint = (first_free - RAM_BASE + map_bytes) / PAGE_SIZE;
    free_count = end - first;
    changes_init(taken, words);
}

uint64_t page_alloc(enum page_use use)
{
    if (use == PAGE_PROGRAM && free_count <= reserve)
        return 0;
    for (uint64_t n = hint; n < end;) {
        uint64_t word = ~taken[n / 64] & ~0UL << n % 64;
        if (!word) {
            n = (n / 64 + 1) * 64;
            continue;
        }
        n = n / 64 * 64 + (unsigned)__builtin_ctzl(word);
        if (n >= end)
            break;
        taken[n / 64] |= 1UL << n % 64;
        hint = n + 1;
        free_count--;
        changes_own(RAM_BASE + n * PAGE_SIZE, use == PAGE_KERNEL);
        return RAM_BASE + n * PAGE_SIZE;
    }
    return 0;
}

void page_free(uint64_t pa)
{
    uint64_t n = (pa - RAM_BASE) / PAGE_SIZE;
    if (n < first || n >= end)
        return;
    if (!(taken[n / 64] & 1UL << n % 64))
        panic("page %lx freed twice", pa);
    memset(phys_to_virt(pa), 0, PAGE_SIZE);
    changes_own(pa, false);
    taken[n / 64] &= ~(1UL << n % 64);
    hint = MIN(hint, n);
    free_count++;
}

uint64_t pages_free(void) { return free_count > reserve ? free_count - reserve : 0; }
uint64_t memory_size(void) { return end * PAGE_SIZE; }
uint64_t pages_total(void) { return end - first; }
void page_reserve(uint64_t pages) { reserve = MIN(pages, (end - first) / 8); }
