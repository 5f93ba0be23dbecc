/*
 * kernel.h: what every file of the library OS needs, and nothing else.
 *
 * The rules that hold everywhere:
 * - One processor. The kernel runs with interrupts off; they are let in at exactly one place,
 *   cpu_wait(), when nothing is runnable. So kernel code needs no locks.
 * - The kernel never dereferences an address that the program gave it: see user.h.
 * - Results are 0 or a count, or a negative errno, as on Linux.
 * - Every thread has its own kernel stack, so a blocked system call is just a stack in memory, and
 *   a parked VM is nothing but memory.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <asm/errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096UL
#define PAGE_MASK (PAGE_SIZE - 1)
#define ALIGN_UP(x, a) (((x) + (a)-1) & ~((uint64_t)(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((uint64_t)(a)-1))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define NEVER UINT64_MAX
#define NS_PER_S 1000000000UL

#define container_of(p, type, field) ((type *)((char *)(p)-offsetof(type, field)))

/* The levels of RADICS_OUT_LOG. */
enum { LOG_STDOUT, LOG_STDERR, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* A line for the host. Without a channel it goes nowhere: serial belongs to the program. */
void klog(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The library OS itself failed: say so on every way out there is, and end the VM. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

size_t format_text(char *buf, size_t cap, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t format_text_v(char *buf, size_t cap, const char *format, va_list args);

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);

/* Circular doubly linked lists; the head is a node too. */
struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_add_before(struct list *at, struct list *l)
{
    l->next = at;
    l->prev = at->prev;
    at->prev->next = l;
    at->prev = l;
}
static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

#endif
