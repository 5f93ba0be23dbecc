/* heap.c: slabs in single pages (through the direct map), and runs of pages in the heap area. */
#include "heap.h"
#include "arch/arch.h"
#include "layout.h"
#include "page.h"

/* ---- small: 32 .. 1024 bytes -------------------------------------------------------------- */
struct slab {
    struct list link; /* in its class, while it has a free object */
    void *free;
    uint32_t used, class;
};
#define SLAB_HEADER 64
#define SMALL_MAX 1024
#define CLASSES 6

static struct list classes[CLASSES];

static struct slab *slab_new(unsigned class)
{
    uint64_t pa = page_alloc(PAGE_KERNEL);
    if (!pa)
        return NULL;
    struct slab *s = phys_to_virt(pa);
    size_t size = 32UL << class;
    s->class = class;
    for (size_t at = SLAB_HEADER; at + size <= PAGE_SIZE; at += size) {
        *(void **)((char *)s + at) = s->free;
        s->free = (char *)s + at;
    }
    list_add_before(&classes[class], &s->link);
    return s;
}

static void *small_alloc(size_t n)
{
    unsigned class = n <= 32 ? 0 : 59 - (unsigned)__builtin_clzl(n - 1);
    if (!classes[class].next)
        list_init(&classes[class]);
    struct slab *s = list_empty(&classes[class])
                         ? slab_new(class)
                         : container_of(classes[class].next, struct slab, link);
    if (!s)
        return NULL;
    void *p = s->free;
    s->free = *(void **)p;
    s->used++;
    if (!s->free)
        list_remove(&s->link);
    memset(p, 0, 32UL << class);
    return p;
}

static void small_free(void *p)
{
    struct slab *s = (struct slab *)ALIGN_DOWN((uint64_t)p, PAGE_SIZE);
    if (!s->free)
        list_add_before(&classes[s->class], &s->link);
    *(void **)p = s->free;
    s->free = p;
    if (--s->used == 0) {
        list_remove(&s->link);
        page_free((uint64_t)s - DIRECT_BASE);
    }
}

/* ---- big: runs of pages ------------------------------------------------------------------- */
static uint64_t used[HEAP_PAGES / 64], last[HEAP_PAGES / 64]; /* last: a run ends here */

static bool bit(const uint64_t *map, uint64_t n) { return map[n / 64] >> n % 64 & 1; }
static void set_bit(uint64_t *map, uint64_t n) { map[n / 64] |= 1UL << n % 64; }
static void clear_bit(uint64_t *map, uint64_t n) { map[n / 64] &= ~(1UL << n % 64); }

static void big_free_pages(uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        uint64_t va = HEAP_BASE + n * PAGE_SIZE;
        uint64_t *entry = paging_entry(va, false);
        page_free(paging_address(*entry));
        *entry = 0;
        paging_flush(va);
        clear_bit(used, n);
    }
}

/* First fit, one page more than asked for: the first one stays unmapped, as a guard. */
static uint64_t run_find(uint64_t pages)
{
    uint64_t length = 0;
    for (uint64_t n = 0; n < HEAP_PAGES; n++) {
        length = bit(used, n) ? 0 : length + 1;
        if (length == pages + 1)
            return n - pages + 1;
    }
    return 0;
}

static void *big_alloc(size_t n)
{
    uint64_t pages = ALIGN_UP(n, PAGE_SIZE) / PAGE_SIZE, at = run_find(pages);
    if (!at)
        return NULL;
    set_bit(used, at - 1);
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t pa = page_alloc(PAGE_KERNEL);
        uint64_t *entry = pa ? paging_entry(HEAP_BASE + (at + i) * PAGE_SIZE, true) : NULL;
        if (!entry) {
            if (pa)
                page_free(pa);
            big_free_pages(at, at + i);
            clear_bit(used, at - 1);
            return NULL;
        }
        *entry = paging_make(pa, MAP_WRITE);
        set_bit(used, at + i);
    }
    paging_made();
    set_bit(last, at + pages - 1);
    return (void *)(HEAP_BASE + at * PAGE_SIZE);
}

static void big_free(void *p)
{
    uint64_t at = ((uint64_t)p - HEAP_BASE) / PAGE_SIZE, to = at;
    while (!bit(last, to))
        to++;
    clear_bit(last, to);
    big_free_pages(at, to + 1);
    clear_bit(used, at - 1);
}

void *heap_alloc(size_t n)
{
    if (n > HEAP_PAGES * PAGE_SIZE / 2)
        return NULL;
    return n <= SMALL_MAX ? small_alloc(n) : big_alloc(n);
}

void *heap_alloc_for_program(size_t n)
{
    return n / PAGE_SIZE + 4 < pages_free() ? heap_alloc(n) : NULL;
}

void heap_free(void *p)
{
    if (!p)
        return;
    if ((uint64_t)p >= HEAP_BASE)
        big_free(p);
    else
        small_free(p);
}
