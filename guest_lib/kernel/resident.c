/* resident.c: pages of regions that are there: how they go, change, move, and come by demand. */
#include "resident.h"
#include "arch/arch.h"
#include "changes.h"
#include "inode.h"
#include "layout.h"
#include "page.h"
#include "space.h"

#define AROUND (64 * 1024UL)

/* ---- pages of a range --------------------------------------------------------------------- */

/* Calls `change` on every entry of the range that has a page; skips absent tables. */
static void each_page(uint64_t start, uint64_t end, void (*change)(uint64_t *entry, uint32_t prot),
                      uint32_t prot)
{
    bool many = end - start > 32 * PAGE_SIZE;
    for (uint64_t va = paging_next(start); va < end; va = paging_next(va)) {
        uint64_t *entry = paging_entry(va, false);
        uint64_t stop = MIN(ALIGN_DOWN(va, PAGING_TABLE_SPAN) + PAGING_TABLE_SPAN, end);
        for (; va < stop; va += PAGE_SIZE, entry++) {
            if (!*entry)
                continue;
            change(entry, prot);
            if (!many)
                paging_flush(va);
        }
    }
    if (many)
        paging_flush_all();
}

/* Before an entry goes: what the CPU noted in it. */
static void note_change(uint64_t entry)
{
    if (paging_dirty(entry))
        changed_page(paging_address(entry));
}

static void drop_page(uint64_t *entry, uint32_t prot)
{
    (void)prot;
    note_change(*entry);
    if (!paging_borrowed(*entry))
        page_free(paging_address(*entry));
    *entry = 0;
}

static void drop_borrowed(uint64_t *entry, uint32_t prot)
{
    if (paging_borrowed(*entry))
        drop_page(entry, prot);
}

static uint64_t entry_for(uint64_t pa, bool borrowed, uint32_t prot)
{
    if (prot & PROT_EXEC && !borrowed)
        paging_code_written(pa);
    uint64_t entry = paging_make(pa, MAP_USER | (prot & PROT_EXEC ? MAP_EXEC : 0) |
                                         (borrowed ? MAP_BORROWED : 0) |
                                         (prot & PROT_WRITE && !borrowed ? MAP_WRITE : 0));
    return prot ? entry : paging_hide(entry);
}

static void protect_page(uint64_t *entry, uint32_t prot)
{
    note_change(*entry);
    *entry = entry_for(paging_address(*entry), paging_borrowed(*entry), prot);
}

void resident_drop(uint64_t start, uint64_t end) { each_page(start, end, drop_page, 0); }

void resident_drop_borrowed(uint64_t start, uint64_t end)
{
    each_page(start, end, drop_borrowed, 0);
}

void resident_protect(uint64_t start, uint64_t end, uint32_t prot)
{
    each_page(start, end, protect_page, prot);
}

void resident_free(uint64_t start, uint64_t end)
{
    each_page(start, end, drop_page, 0);
    uint64_t va = paging_next(ALIGN_UP(start, PAGING_TABLE_SPAN));
    for (; va + PAGING_TABLE_SPAN <= end; va = paging_next(va + PAGING_TABLE_SPAN))
        paging_free_table(va);
    if (end - start >= PAGING_TABLE_SPAN)
        paging_flush_all(); /* the CPU may remember tables too */
}

uint64_t resident_move(uint64_t from, uint64_t to, uint64_t length)
{
    uint64_t va = paging_next(from);
    for (; va < from + length; va = paging_next(va + PAGE_SIZE)) {
        uint64_t *old = paging_entry(va, false);
        if (!*old)
            continue;
        uint64_t *fresh = paging_entry(to + (va - from), true);
        if (!fresh)
            return va - from;
        *fresh = *old;
        *old = 0;
    }
    return length;
}

/* ---- demand paging ------------------------------------------------------------------------ */

/* How many bytes of this page come from the image. */
static uint64_t image_bytes(const struct region *r, uint64_t page, uint64_t *from)
{
    *from = r->source + (page - r->start);
    return r->source && *from < r->source_end ? MIN(PAGE_SIZE, r->source_end - *from) : 0;
}

/* Neighbours of a page that was read for the first time cost an entry each, and no memory; the
 * fault that each would be costs a hundred times as much. */
static void map_around(const struct region *r, uint64_t page)
{
    uint64_t at = MAX(ALIGN_DOWN(page, AROUND), r->start);
    uint64_t end = MIN(ALIGN_DOWN(page, AROUND) + AROUND, r->end), from;
    uint64_t *entry = paging_entry(at, false); /* the window lies in one table */
    for (; entry && at < end; at += PAGE_SIZE, entry++)
        if (!*entry && image_bytes(r, at, &from) == PAGE_SIZE)
            *entry = entry_for(from, true, r->prot);
    paging_made();
}

static int fault_own(const struct region *r, uint64_t page, uint64_t *entry, const void *bytes,
                     size_t n)
{
    uint64_t pa = page_alloc(PAGE_PROGRAM);
    if (!pa)
        return -ENOMEM;
    memcpy(phys_to_virt(pa), bytes, n);
    paging_replace(entry, page, entry_for(pa, false, r->prot));
    return 0;
}

static int fault_file(const struct region *r, uint64_t page, uint64_t *entry, bool write)
{
    const char *bytes;
    uint64_t number = (r->source + (page - r->start)) / PAGE_SIZE;
    bool shared = r->flags & SPACE_SHARED;
    if (number >= ALIGN_UP(r->file->size, PAGE_SIZE) / PAGE_SIZE)
        return -ENXIO;
    size_t n = inode_page(r->file, number, &bytes);
    if (shared && (write || n < PAGE_SIZE)) {
        bytes = inode_own_page(r->file, number);
        n = bytes ? PAGE_SIZE : 0;
        if (!bytes)
            return -ENOMEM;
        inode_written(r->file);
    }
    if (!shared && (write || n < PAGE_SIZE))
        return fault_own(r, page, entry, bytes, n);
    uint64_t pa = (uint64_t)bytes - DIRECT_BASE, value = entry_for(pa, true, r->prot);
    if (r->prot & PROT_EXEC)
        paging_code_written(pa); /* a file's page is the kernel's to write */
    if (shared && write)
        value = paging_make(pa, MAP_USER | MAP_BORROWED | MAP_WRITE);
    paging_replace(entry, page, value);
    return 0;
}

int space_fault(uint64_t address, uint32_t access)
{
    const struct region *r = space_find(address);
    if (!r || (r->prot & access) != access || !r->prot)
        return -EFAULT;
    uint64_t page = ALIGN_DOWN(address, PAGE_SIZE), from;
    uint64_t *entry = paging_entry(page, true);
    if (!entry)
        return -ENOMEM;
    bool write = access & PROT_WRITE;
    if (*entry && (!write || !paging_borrowed(*entry) || paging_writable(*entry))) {
        if (write) /* there already, and clean */
            *entry = paging_written(*entry);
        paging_flush(page);
        return 0;
    }
    if (r->file)
        return fault_file(r, page, entry, write);
    uint64_t bytes = image_bytes(r, page, &from);
    if (!write && bytes == PAGE_SIZE) {
        map_around(r, page);
        return 0;
    }
    return fault_own(r, page, entry, phys_to_virt(from), bytes);
}
