/*
 * paging.c: page tables.
 *
 * One set for everything. Entries of the kernel's half carry accessed and dirty bits from the
 * start, so that the CPU never writes to them: a parked VM's memory must stand still. The program's
 * carry the accessed bit, so that a table changes only when a page does.
 */
#include "../../changes.h"
#include "../../layout.h"
#include "../../page.h"
#include "../arch.h"
#include "cpu.h"

#define P 1UL
#define W 2UL
#define U 4UL
#define UNCACHED 0x18UL
#define ACCESSED 0x20UL
#define DIRTY 0x40UL
#define TOUCHED (ACCESSED | DIRTY)
#define BIG 0x80UL
#define BORROWED 0x200UL
#define NX (1UL << 63)
#define ADDRESS 0x000ffffffffff000UL
#define BIG_SIZE (2UL << 20)

static uint64_t root[512] __attribute__((aligned(4096)));
uint64_t *const paging_roots[2] = {root, root};

static uint64_t *step(uint64_t *table, uint64_t va, unsigned shift, bool create)
{
    uint64_t *entry = &table[va >> shift & 511];
    if (!*entry) {
        uint64_t pa = create ? page_alloc(va < PROGRAM_END ? PAGE_PROGRAM : PAGE_KERNEL) : 0;
        if (!pa)
            return NULL;
        *entry = pa | P | W | TOUCHED | (va < PROGRAM_END ? U : 0);
        changed_at(entry);
    }
    return phys_to_virt(*entry & ADDRESS);
}

static uint64_t *walk(uint64_t va, bool create)
{
    uint64_t *table = root;
    for (unsigned shift = 39; table && shift > 12; shift -= 9)
        table = step(table, va, shift, create);
    return table ? &table[va >> 12 & 511] : NULL;
}

uint64_t *paging_look(uint64_t va) { return walk(va, false); }

uint64_t *paging_entry(uint64_t va, bool create)
{
    uint64_t *entry = walk(va, create);
    if (entry)
        changed_at(entry);
    return entry;
}

uint64_t paging_next(uint64_t va)
{
    while (va < PROGRAM_END) {
        uint64_t *table = root;
        unsigned shift = 39;
        while (shift > 12 && (table = step(table, va, shift, false)))
            shift -= 9;
        if (table)
            break;
        va = (va | ((1UL << shift) - 1)) + 1;
    }
    return va;
}

uint64_t paging_make(uint64_t pa, unsigned flags)
{
    return pa | P | (flags & MAP_WRITE ? W : 0) | (flags & MAP_EXEC ? 0 : NX) |
           (flags & MAP_USER ? U | ACCESSED : TOUCHED) | (flags & MAP_DEVICE ? UNCACHED : 0) |
           (flags & MAP_BORROWED ? BORROWED : 0);
}

uint64_t paging_hide(uint64_t entry) { return entry & ~P; }
bool paging_present(uint64_t entry) { return entry & P; }
bool paging_borrowed(uint64_t entry) { return entry & BORROWED; }
bool paging_writable(uint64_t entry) { return entry & W; }
uint64_t paging_address(uint64_t entry) { return entry & ADDRESS; }
bool paging_dirty(uint64_t entry) { return entry & DIRTY; }
uint64_t paging_clean(uint64_t entry) { return entry & ~DIRTY; }
uint64_t paging_written(uint64_t entry) { return entry | DIRTY; }
void paging_code_written(uint64_t pa) { (void)pa; /* the CPU sees to that */ }
void paging_made(void) {} /* the CPU remembers no absent ones */
void paging_replace(uint64_t *entry, uint64_t va, uint64_t value)
{
    *entry = value;
    paging_flush(va);
}
void paging_flush(uint64_t va) { __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory"); }

void paging_load(void)
{
    __asm__ volatile("mov %0, %%cr3" ::"r"((uint64_t)root - KERNEL_BASE) : "memory");
}
void paging_flush_all(void) { paging_load(); }

void paging_free_table(uint64_t va)
{
    uint64_t *table = root;
    for (unsigned shift = 39; table && shift > 21; shift -= 9)
        table = step(table, va, shift, false);
    uint64_t *entry = table ? &table[va >> 21 & 511] : NULL;
    if (entry && *entry) {
        page_free(*entry & ADDRESS);
        *entry = 0;
        changed_at(entry);
    }
}

static void map_big(uint64_t va, uint64_t pa, uint64_t flags)
{
    uint64_t *table = root;
    for (unsigned shift = 39; table && shift > 21; shift -= 9)
        table = step(table, va, shift, true);
    if (!table)
        panic("no memory for page tables");
    table[va >> 21 & 511] = pa | P | BIG | TOUCHED | NX | flags;
}

/* Page by page, to where [pa, end) is seen from base; finds each table once. */
static void map(uint64_t base, uint64_t pa, uint64_t end, unsigned flags)
{
    uint64_t *entry = NULL, bits = paging_make(0, flags);
    for (; pa < end; pa += PAGE_SIZE) {
        if (!entry || !(pa % PAGING_TABLE_SPAN))
            entry = paging_entry(base + pa, true);
        if (!entry)
            panic("no memory for page tables");
        *entry++ = pa | bits;
    }
}

void paging_init(uint64_t memory_bytes, uint64_t image_end)
{
    uint64_t text = KERNEL_LOAD, rodata = (uint64_t)text_end - KERNEL_BASE;
    uint64_t data = (uint64_t)rodata_end - KERNEL_BASE, end = (uint64_t)kernel_end - KERNEL_BASE;

    map(KERNEL_BASE, text, rodata, MAP_EXEC);
    map(KERNEL_BASE, rodata, data, 0);
    map(KERNEL_BASE, data, end, MAP_WRITE);
    /* All RAM, but what must not change is not writable here either. */
    uint64_t pa = MIN(ALIGN_UP(image_end, BIG_SIZE), memory_bytes);
    map(DIRECT_BASE, 0, text, MAP_WRITE);
    map(DIRECT_BASE, text, data, 0);
    map(DIRECT_BASE, data, end, MAP_WRITE);
    map(DIRECT_BASE, end, image_end, 0);
    map(DIRECT_BASE, image_end, pa, MAP_WRITE);
    for (; pa + BIG_SIZE <= memory_bytes; pa += BIG_SIZE)
        map_big(DIRECT_BASE + pa, pa, W);
    map(DIRECT_BASE, pa, memory_bytes, MAP_WRITE);
    for (pa = 0xfea00000; pa < 0xff000000; pa += BIG_SIZE)
        map_big(DEVICE_BASE + pa, pa, W | UNCACHED);
    paging_load();
}
