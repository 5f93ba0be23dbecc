/*
 * paging.c: page tables.
 *
 * One tree for the program's half, one for the kernel's. Every entry is marked accessed from the
 * start, so that the CPU never writes to them: a parked VM's memory must stand still. Whether a page was
 * written is noted by the kernel: a clean one is read-only to the CPU, and its first write a fault.
 */
#include "../../changes.h"
#include "../../layout.h"
#include "../../page.h"
#include "../arch.h"
#include "cpu.h"

#define P 1UL
#define PAGE 2UL /* in the lowest table; in the others: a table follows */
#define DEVICE (1UL << 2)
#define U (1UL << 6)
#define READ_ONLY (1UL << 7)
#define SHARED (3UL << 8)
#define ACCESSED (1UL << 10)
#define PXN (1UL << 53)
#define UXN (1UL << 54)
#define BORROWED (1UL << 55)
#define WRITABLE (1UL << 56) /* to the program, though maybe not at once */
#define DIRTY (1UL << 57)
#define ADDRESS 0x0000fffffffff000UL
#define BIG_SIZE (2UL << 20)
#define DEVICES_START 0x08000000UL
#define DEVICES_END 0x0a200000UL

static uint64_t roots[2][512] __attribute__((aligned(4096)));
uint64_t *const paging_roots[2] = {roots[0], roots[1]};

static uint64_t *root(uint64_t va) { return roots[va >> 63]; }

static uint64_t *step(uint64_t *table, uint64_t va, unsigned shift, bool create)
{
    uint64_t *entry = &table[va >> shift & 511];
    if (!*entry) {
        uint64_t pa = create ? page_alloc(va < PROGRAM_END ? PAGE_PROGRAM : PAGE_KERNEL) : 0;
        if (!pa)
            return NULL;
        *entry = pa | P | PAGE;
        changed_at(entry);
    }
    return phys_to_virt(*entry & ADDRESS);
}

static uint64_t *walk(uint64_t va, bool create)
{
    uint64_t *table = root(va);
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
        uint64_t *table = roots[0];
        unsigned shift = 39;
        while (shift > 12 && (table = step(table, va, shift, false)))
            shift -= 9;
        if (table)
            break;
        va = (va | ((1UL << shift) - 1)) + 1;
    }
    return va;
}

static uint64_t execution(unsigned flags)
{
    return !(flags & MAP_EXEC) ? PXN | UXN : flags & MAP_USER ? PXN : UXN;
}

uint64_t paging_make(uint64_t pa, unsigned flags)
{
    return pa | P | PAGE | SHARED | ACCESSED | execution(flags) |
           (flags & MAP_WRITE ? WRITABLE | DIRTY : READ_ONLY) | (flags & MAP_USER ? U : 0) |
           (flags & MAP_DEVICE ? DEVICE : 0) | (flags & MAP_BORROWED ? BORROWED : 0);
}

uint64_t paging_hide(uint64_t entry) { return entry & ~P; }
bool paging_present(uint64_t entry) { return entry & P; }
bool paging_borrowed(uint64_t entry) { return entry & BORROWED; }
bool paging_writable(uint64_t entry) { return entry & WRITABLE; }
bool paging_dirty(uint64_t entry) { return entry & DIRTY; }
uint64_t paging_clean(uint64_t entry) { return (entry & ~DIRTY) | READ_ONLY; }
uint64_t paging_written(uint64_t entry)
{
    return entry & WRITABLE ? (entry | DIRTY) & ~READ_ONLY : entry;
}
uint64_t paging_address(uint64_t entry) { return entry & ADDRESS; }

void paging_made(void) { __asm__ volatile("dsb ishst; isb" ::: "memory"); }

/* Break before make (Arm ARM, D8.14.1): two pages for one address must never both be remembered. */
void paging_replace(uint64_t *entry, uint64_t va, uint64_t value)
{
    if (*entry & P) {
        *entry = 0;
        paging_flush(va);
    }
    *entry = value;
    paging_made();
}

void paging_flush(uint64_t va)
{
    __asm__ volatile("dsb ishst; tlbi vaae1is, %0; dsb ish; isb" ::"r"(va >> 12 & 0xfffffffffffUL)
                     : "memory");
}

void paging_flush_all(void)
{
    __asm__ volatile("dsb ishst; tlbi vmalle1is; dsb ish; isb" ::: "memory");
}

void paging_load(void)
{
    sysreg_write(ttbr0_el1, (uint64_t)roots[0] - KERNEL_BASE);
    sysreg_write(ttbr1_el1, (uint64_t)roots[1] - KERNEL_BASE);
    isb();
    paging_flush_all();
}

/* Instructions that were written as data: out of the data cache, and nothing old in the other. The
 * smallest line there can be, so that it is right everywhere. */
void paging_code_written(uint64_t pa)
{
    uint64_t start = (uint64_t)phys_to_virt(pa);
    for (uint64_t at = start; at < start + PAGE_SIZE; at += 16)
        __asm__ volatile("dc cvau, %0" ::"r"(at) : "memory");
    __asm__ volatile("dsb ish; ic ialluis; dsb ish; isb" ::: "memory");
}

void paging_free_table(uint64_t va)
{
    uint64_t *table = root(va);
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
    uint64_t *table = root(va);
    for (unsigned shift = 39; table && shift > 21; shift -= 9)
        table = step(table, va, shift, true);
    if (!table)
        panic("no memory for page tables");
    table[va >> 21 & 511] = pa | P | SHARED | ACCESSED | PXN | UXN | flags;
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
    uint64_t text = (uint64_t)text_start - KERNEL_BASE, rodata = (uint64_t)text_end - KERNEL_BASE;
    uint64_t data = (uint64_t)rodata_end - KERNEL_BASE, end = (uint64_t)kernel_end - KERNEL_BASE;
    uint64_t memory_end = RAM_BASE + memory_bytes;

    map(KERNEL_BASE, KERNEL_LOAD, text, MAP_WRITE); /* bss */
    map(KERNEL_BASE, text, rodata, MAP_EXEC);
    map(KERNEL_BASE, rodata, data, 0);
    map(KERNEL_BASE, data, end, MAP_WRITE);
    /* All RAM, but what must not change is not writable here either. */
    uint64_t pa = MIN(ALIGN_UP(image_end, BIG_SIZE), memory_end);
    map(DIRECT_BASE, RAM_BASE, text, MAP_WRITE);
    map(DIRECT_BASE, text, data, 0);
    map(DIRECT_BASE, data, end, MAP_WRITE);
    map(DIRECT_BASE, end, image_end, 0);
    map(DIRECT_BASE, image_end, pa, MAP_WRITE);
    for (; pa + BIG_SIZE <= memory_end; pa += BIG_SIZE)
        map_big(DIRECT_BASE + pa, pa, 0);
    map(DIRECT_BASE, pa, memory_end, MAP_WRITE);
    for (pa = DEVICES_START; pa < DEVICES_END; pa += BIG_SIZE)
        map_big(DEVICE_BASE + pa, pa, DEVICE);
    paging_load();
}
