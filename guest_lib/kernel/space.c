/* space.c: regions in a sorted array, and demand paging. */
#include "space.h"
#include "arch/arch.h"
#include "changes.h"
#include "heap.h"
#include "layout.h"
#include "page.h"

#define REGIONS_FIRST 32
#define REGIONS_MAX 32768
#define AROUND (64 * 1024UL)

static struct region *regions;
static size_t count, capacity;

int space_init(void)
{
    regions = heap_alloc(REGIONS_FIRST * sizeof *regions);
    capacity = REGIONS_FIRST;
    return regions ? 0 : -ENOMEM;
}

/* Index of the first region that ends after the address. */
static size_t index_of(uint64_t address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (regions[mid].end <= address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct region *space_find(uint64_t address)
{
    size_t i = index_of(address);
    return i < count && regions[i].start <= address ? &regions[i] : NULL;
}

/* Every change needs at most two more regions; made sure of first, so that none fails halfway. */
static int make_room(void)
{
    if (count + 3 <= capacity)
        return 0;
    if (capacity * 2 > REGIONS_MAX)
        return -ENOMEM;
    struct region *more = heap_alloc_for_program(capacity * 2 * sizeof *more);
    if (!more)
        return -ENOMEM;
    memcpy(more, regions, count * sizeof *more);
    heap_free(regions);
    regions = more;
    capacity *= 2;
    return 0;
}

static void insert(size_t i, struct region r)
{
    memmove(&regions[i + 1], &regions[i], (count - i) * sizeof r);
    regions[i] = r;
    count++;
}

static void erase(size_t from, size_t to)
{
    memmove(&regions[from], &regions[to], (count - to) * sizeof *regions);
    count -= to - from;
}

static void split(uint64_t at)
{
    size_t i = index_of(at);
    if (i == count || regions[i].start >= at)
        return;
    struct region upper = regions[i];
    if (upper.source)
        upper.source += at - upper.start;
    upper.start = regions[i].end = at;
    insert(i + 1, upper);
}

static void merge_around(uint64_t start, uint64_t end)
{
    size_t i = index_of(start ? start - 1 : 0);
    while (i + 1 < count && regions[i].start <= end) {
        struct region *a = &regions[i], *b = a + 1;
        if (a->end == b->start && a->prot == b->prot && a->flags == b->flags && !a->source &&
            !b->source) {
            a->end = b->end;
            erase(i + 1, i + 2);
        } else {
            i++;
        }
    }
}

static bool valid(uint64_t start, uint64_t length)
{
    return !(start & PAGE_MASK) && !(length & PAGE_MASK) && length && start >= PROGRAM_START &&
           start < PROGRAM_END && length <= PROGRAM_END - start;
}

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

static uint64_t entry_for(uint64_t pa, bool borrowed, uint32_t prot)
{
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

static void drop_pages(uint64_t start, uint64_t end)
{
    each_page(start, end, drop_page, 0);
    uint64_t va = paging_next(ALIGN_UP(start, PAGING_TABLE_SPAN));
    for (; va + PAGING_TABLE_SPAN <= end; va = paging_next(va + PAGING_TABLE_SPAN))
        paging_free_table(va);
    if (end - start >= PAGING_TABLE_SPAN)
        paging_flush_all(); /* the CPU may remember tables too */
}

/* ---- changes ------------------------------------------------------------------------------ */

static void carve(uint64_t start, uint64_t end)
{
    split(start);
    split(end);
    size_t from = index_of(start), to = from;
    while (to < count && regions[to].start < end)
        to++;
    if (from == to)
        return;
    erase(from, to);
    drop_pages(start, end);
}

/* What a program asks for and free memory cannot hold is refused now, so that `new` throws
 * bad_alloc; a promise already made that memory cannot keep ends the program at the touch. */
static bool fits(uint64_t length, uint32_t prot, uint32_t flags)
{
    return !(prot & PROT_WRITE) || flags & SPACE_STACK || length / PAGE_SIZE <= pages_free();
}

static int map(struct region r)
{
    if (!valid(r.start, r.end - r.start))
        return -ENOMEM;
    if ((r.prot & PROT_WRITE) && (r.prot & PROT_EXEC))
        return -EACCES;
    if (!fits(r.end - r.start, r.prot, r.flags) || make_room())
        return -ENOMEM;
    carve(r.start, r.end);
    insert(index_of(r.start), r);
    merge_around(r.start, r.end);
    return 0;
}

int space_map(uint64_t start, uint64_t length, uint32_t prot, uint32_t flags)
{
    return map((struct region){start, start + length, prot, flags, 0, 0});
}

int space_map_image(uint64_t start, uint64_t length, uint32_t prot, uint64_t source,
                    uint64_t source_end)
{
    return map((struct region){start, start + length, prot, 0, source, source_end});
}

int space_unmap(uint64_t start, uint64_t length)
{
    if (!valid(start, length))
        return -EINVAL;
    if (make_room())
        return -ENOMEM;
    carve(start, start + length);
    return 0;
}

static bool covered(uint64_t start, uint64_t end)
{
    for (size_t i = index_of(start); i < count && start < end; i++) {
        if (regions[i].start > start)
            return false;
        start = regions[i].end;
    }
    return start >= end;
}

int space_protect(uint64_t start, uint64_t length, uint32_t prot)
{
    uint64_t end = start + length;
    if (!valid(start, length) || !covered(start, end) || make_room())
        return -ENOMEM;
    if ((prot & PROT_WRITE) && (prot & PROT_EXEC))
        return -EACCES;
    split(start);
    split(end);
    for (size_t i = index_of(start); i < count && regions[i].start < end; i++) {
        if (prot & ~regions[i].prot & PROT_WRITE && regions[i].prot == 0 &&
            !fits(regions[i].end - regions[i].start, prot, regions[i].flags))
            return -ENOMEM;
        regions[i].prot = prot;
    }
    each_page(start, end, protect_page, prot);
    merge_around(start, end);
    return 0;
}

int space_discard(uint64_t start, uint64_t length)
{
    if (!valid(start, length))
        return -EINVAL;
    each_page(start, start + length, drop_page, 0);
    return 0;
}

/* Hands over pages until `length` or until there is no table for one; how far it came. */
static uint64_t move_pages(uint64_t from, uint64_t to, uint64_t length)
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

/* The range at `from` lies in one anonymous region; the one at `to` is free. */
int space_move(uint64_t from, uint64_t to, uint64_t length)
{
    struct region r = *space_find(from);
    if (!valid(to, length) || make_room())
        return -ENOMEM;
    uint64_t moved = move_pages(from, to, length);
    if (moved < length) {
        move_pages(to, from, moved); /* its tables are still there */
        return -ENOMEM;
    }
    carve(from, from + length);
    paging_flush_all();
    insert(index_of(to), (struct region){to, to + length, r.prot, r.flags, 0, 0});
    merge_around(to, to + length);
    return 0;
}

bool space_is_free(uint64_t start, uint64_t length)
{
    size_t i = index_of(start);
    return valid(start, length) && (i == count || regions[i].start >= start + length);
}

uint64_t space_gap(uint64_t hint, uint64_t length)
{
    if (hint && space_is_free(hint, length))
        return hint;
    uint64_t top = PROGRAM_END - PROGRAM_STACK - (1UL << 20);
    for (size_t i = index_of(top); i-- > 0;) {
        if (regions[i].start >= top)
            continue;
        if (regions[i].end <= top && top - regions[i].end >= length)
            return top - length;
        top = MIN(top, regions[i].start);
    }
    return top >= length + PROGRAM_START ? top - length : 0;
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
    if (*entry && (!write || !paging_borrowed(*entry))) { /* there already */
        if (write)
            *entry = paging_written(*entry);
        paging_flush(page);
        return 0;
    }
    uint64_t bytes = image_bytes(r, page, &from);
    if (!write && bytes == PAGE_SIZE) {
        map_around(r, page);
        return 0;
    }
    uint64_t pa = page_alloc(PAGE_PROGRAM);
    if (!pa)
        return -ENOMEM;
    memcpy(phys_to_virt(pa), phys_to_virt(bytes ? from : pa), bytes);
    *entry = entry_for(pa, false, r->prot);
    if (write)
        *entry = paging_written(*entry);
    paging_flush(page);
    return 0;
}
