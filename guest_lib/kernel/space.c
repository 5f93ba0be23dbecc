/* space.c: regions in a sorted array; the pages behind them are resident.c's. */
#include "space.h"
#include "arch/arch.h"
#include "heap.h"
#include "inode.h"
#include "layout.h"
#include "page.h"
#include "resident.h"

#define REGIONS_FIRST 32

struct region *space_regions;
size_t space_count;
static size_t capacity;
static uint64_t gaps_top;
static bool promise_all;
/* Short, as they are everywhere here. */
#define regions space_regions
#define count space_count

int space_init(uint64_t top)
{
    gaps_top = top;
    regions = heap_alloc(REGIONS_FIRST * sizeof *regions);
    capacity = REGIONS_FIRST;
    return regions ? 0 : -ENOMEM;
}

void space_promise_all(void) { promise_all = true; }

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

const struct region *space_next(uint64_t address)
{
    size_t i = index_of(address);
    return i < count ? &regions[i] : NULL;
}

/* Every change needs at most two more regions; made sure of first, so that none fails halfway. */
static int make_room(void)
{
    if (count + 3 <= capacity)
        return 0;
    if (capacity * 2 > SPACE_REGIONS_MAX)
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
    if (r.file) {
        r.file->references++;
        r.file->mappings++;
    }
    memmove(&regions[i + 1], &regions[i], (count - i) * sizeof r);
    regions[i] = r;
    count++;
}

static void erase(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (regions[i].file) {
            regions[i].file->mappings--;
            inode_put(regions[i].file);
        }
    }
    memmove(&regions[from], &regions[to], (count - to) * sizeof *regions);
    count -= to - from;
}

static void split(uint64_t at)
{
    size_t i = index_of(at);
    if (i == count || regions[i].start >= at)
        return;
    struct region upper = regions[i];
    if (upper.source || upper.file)
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
            !b->source && !a->file && !b->file) {
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
    resident_free(start, end); /* before a file that is gone takes its pages along */
    erase(from, to);
}

/* What a program asks for and free memory cannot hold is refused now, so that `new` throws
 * bad_alloc; a promise already made that memory cannot keep ends the program at the touch. */
static bool fits(uint64_t length, uint32_t prot, uint32_t flags)
{
    return promise_all || !(prot & PROT_WRITE) || flags & (SPACE_STACK | SPACE_SHARED) ||
           length / PAGE_SIZE <= pages_free();
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
    return map((struct region){start, start + length, prot, flags, NULL, 0, 0});
}

int space_map_image(uint64_t start, uint64_t length, uint32_t prot, uint64_t source,
                    uint64_t source_end)
{
    return map((struct region){start, start + length, prot, 0, NULL, source, source_end});
}

int space_map_file(uint64_t start, uint64_t length, uint32_t prot, uint32_t flags,
                   struct inode *file, uint64_t offset)
{
    file->references++; /* what is mapped there now may be its last name */
    int error = map((struct region){start, start + length, prot, flags, file, offset, 0});
    inode_put(file);
    return error;
}

void space_file_changed(const struct inode *file, uint64_t first, uint64_t end, bool gone)
{
    for (size_t i = 0; i < count && file->mappings; i++) {
        const struct region *r = &regions[i];
        uint64_t from = MAX(first * PAGE_SIZE, r->source);
        uint64_t to = MIN(end * PAGE_SIZE, r->source + (r->end - r->start));
        if (r->file == file && from < to)
            (gone ? resident_drop : resident_drop_borrowed)(r->start + (from - r->source),
                                                            r->start + (to - r->source));
    }
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
    for (size_t i = index_of(start); i < count && regions[i].start < end; i++) {
        const struct region *r = &regions[i];
        if (prot & PROT_WRITE && r->flags & SPACE_CONSTANT)
            return -EACCES;
        if (!r->prot && !fits(MIN(r->end, end) - MAX(r->start, start), prot, r->flags))
            return -ENOMEM;
    }
    split(start);
    split(end);
    for (size_t i = index_of(start); i < count && regions[i].start < end; i++)
        regions[i].prot = prot;
    resident_protect(start, end, prot);
    merge_around(start, end);
    return 0;
}

int space_discard(uint64_t start, uint64_t length)
{
    if (!valid(start, length))
        return -EINVAL;
    resident_drop(start, start + length);
    return 0;
}

/* The range at `from` lies in one region; the one at `to` is free. */
int space_move(uint64_t from, uint64_t to, uint64_t length)
{
    if (!valid(to, length) || make_room())
        return -ENOMEM;
    struct region r = *space_find(from);
    if (r.source || r.file)
        r.source += from - r.start;
    r.start = to;
    r.end = to + length;
    uint64_t moved = resident_move(from, to, length);
    if (moved < length) {
        resident_move(to, from, moved); /* its tables are still there */
        return -ENOMEM;
    }
    insert(index_of(to), r);
    carve(from, from + length);
    paging_flush_all();
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
    uint64_t top = gaps_top;
    for (size_t i = index_of(top); i-- > 0;) {
        if (regions[i].start >= top)
            continue;
        if (regions[i].end <= top && top - regions[i].end >= length)
            return top - length;
        top = MIN(top, regions[i].start);
    }
    return top >= length + PROGRAM_START ? top - length : 0;
}
