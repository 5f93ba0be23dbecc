/* changes.c: see changes.h. */
#include "changes.h"
#include "arch/arch.h"
#include "layout.h"
#include "page.h"
#include "radics_abi.h"
#include "wire.h"

static uint64_t *own, *changed, *told; /* `told`: but not known to be heard */
static uint64_t words;
static uint64_t since, last; /* stages: what `told` counts from; the latest */

static void set(uint64_t *map, uint64_t pa)
{
    uint64_t n = (pa - RAM_BASE) / PAGE_SIZE;
    map[n / 64] |= 1UL << n % 64;
}

void changed_page(uint64_t pa)
{
    if (pa - RAM_BASE < memory_size())
        set(changed, pa);
}

void changed_at(const void *p)
{
    if ((uint64_t)p >= DIRECT_BASE && (uint64_t)p < HEAP_BASE)
        changed_page((uint64_t)p - DIRECT_BASE);
}

void changes_own(uint64_t pa, bool kernel)
{
    set(changed, pa);
    if (kernel)
        set(own, pa);
    else
        own[(pa - RAM_BASE) / PAGE_SIZE / 64] &= ~(1UL << (pa - RAM_BASE) / PAGE_SIZE % 64);
}

void changes_init(uint64_t *maps, uint64_t n)
{
    words = n;
    own = maps + n;
    changed = maps + 2 * n;
    told = maps + 3 * n;
    for (uint64_t at = (uint64_t)kernel_start; at < (uint64_t)text_start; at += PAGE_SIZE)
        set(own, at - KERNEL_BASE); /* bss, where it lies before */
    for (uint64_t at = (uint64_t)rodata_end; at < (uint64_t)kernel_end; at += PAGE_SIZE)
        set(own, at - KERNEL_BASE);
    for (uint64_t pa = (uint64_t)maps - DIRECT_BASE; pa < (uint64_t)(told + n) - DIRECT_BASE;
         pa += PAGE_SIZE)
        set(own, pa);
}

/* What the CPU noted in the program's tables, moved to the map. */
static void collect(void)
{
    for (uint64_t va = paging_next(PROGRAM_START); va < PROGRAM_END; va = paging_next(va)) {
        uint64_t *entry = paging_look(va), *table = entry;
        uint64_t stop = ALIGN_DOWN(va, PAGING_TABLE_SPAN) + PAGING_TABLE_SPAN;
        for (; va < stop; va += PAGE_SIZE, entry++) {
            if (!paging_dirty(*entry))
                continue;
            changed_page(paging_address(*entry));
            *entry = paging_clean(*entry);
            changed_at(table);
        }
    }
    paging_flush_all();
}

void changes_stage(uint64_t nonce, uint64_t known)
{
    bool heard = last && known == last;
    collect();
    for (uint64_t i = 0; i < words; i++) {
        told[i] = heard ? changed[i] : told[i] | changed[i];
        changed[i] = 0;
    }
    since = heard ? last : since;
    last = nonce;
}

void changes_restart(void)
{
    since = last = 0;
    memset(changed, 0, words * sizeof *changed);
    memset(told, 0, words * sizeof *told);
}

/* ---- the report --------------------------------------------------------------------------- */
#define FRAME_WORDS (RADICS_CHANGED_MAX / 8)
#define FRAME_HEAD (8 + 8 + 4 + 4 + 4)

size_t changes_bound(void)
{
    return frame_bound(words * 8) + (words / FRAME_WORDS + 1) * (FRAME_HEAD + FRAME_OVERHEAD);
}

uint8_t *changes_put(uint8_t *out)
{
    uint32_t pages = (uint32_t)(memory_size() / PAGE_SIZE), n = (pages + 63) / 64, end = 0;
    for (uint32_t at = 0; at < n; at = end) {
        struct encoder e;
        end = MIN(at + FRAME_WORDS, n);
        uint32_t first = at * 64, bytes = (end - at) * 8;
        frame_begin(&e, out, RADICS_F_CHANGED);
        FRAME_PUT(&e, last);
        FRAME_PUT(&e, since);
        FRAME_PUT(&e, pages);
        FRAME_PUT(&e, first);
        FRAME_PUT(&e, bytes);
        for (uint32_t i = at; i < end; i++) {
            uint64_t word = told[i] | own[i];
            FRAME_PUT(&e, word);
        }
        out = frame_end(&e);
    }
    return out;
}
