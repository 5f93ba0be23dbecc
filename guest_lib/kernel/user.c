/* user.c */
#include "user.h"
#include "arch/arch.h"
#include "changes.h"
#include "layout.h"
#include "space.h"

void *user_page(uint64_t address, bool write)
{
    if (address < PROGRAM_START || address >= PROGRAM_END)
        return NULL;
    const uint64_t *entry = paging_look(address);
    if (!entry || !paging_present(*entry) || (write && !paging_writable(*entry))) {
        if (space_fault(address, write ? PROT_WRITE : PROT_READ))
            return NULL;
        entry = paging_look(address);
        if (!entry || !paging_present(*entry))
            return NULL;
    }
    if (write)
        changed_page(paging_address(*entry));
    return phys_to_virt(paging_address(*entry) + (address & PAGE_MASK));
}

int user_read(void *to, uint64_t from, size_t n)
{
    for (char *out = to; n;) {
        size_t part = MIN(n, PAGE_SIZE - (from & PAGE_MASK));
        const void *page = user_page(from, false);
        if (!page)
            return -EFAULT;
        memcpy(out, page, part);
        changed_at(out);
        out += part, from += part, n -= part;
    }
    return 0;
}

int user_write(uint64_t to, const void *from, size_t n)
{
    for (const char *in = from; n;) {
        size_t part = MIN(n, PAGE_SIZE - (to & PAGE_MASK));
        void *page = user_page(to, true);
        if (!page)
            return -EFAULT;
        memcpy(page, in, part);
        in += part, to += part, n -= part;
    }
    return 0;
}

int user_zero(uint64_t to, size_t n)
{
    while (n) {
        size_t part = MIN(n, PAGE_SIZE - (to & PAGE_MASK));
        void *page = user_page(to, true);
        if (!page)
            return -EFAULT;
        memset(page, 0, part);
        to += part, n -= part;
    }
    return 0;
}

int64_t user_string(char *to, uint64_t from, size_t cap)
{
    for (size_t n = 0; n < cap;) {
        const char *page = user_page(from + n, false);
        if (!page)
            return -EFAULT;
        size_t part = MIN(cap - n, PAGE_SIZE - ((from + n) & PAGE_MASK));
        for (size_t i = 0; i < part; i++)
            if (!(to[n + i] = page[i]))
                return (int64_t)(n + i);
        n += part;
    }
    return -ENAMETOOLONG;
}
