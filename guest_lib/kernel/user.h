/*
 * user.h: the program's memory, seen from the kernel.
 *
 * The kernel never dereferences a program's address. It looks the page up as the program itself
 * could use it (right region, right protection, brought in if need be) and goes through the direct
 * map. So a wild pointer is EFAULT, and a pointer into the kernel is a wild pointer.
 */
#ifndef USER_H
#define USER_H

#include "kernel.h"

/* `to` may be a place in the direct map, a file's page say, but then in one page only. */
int user_read(void *to, uint64_t from, size_t n);
int user_write(uint64_t to, const void *from, size_t n);
int user_zero(uint64_t to, size_t n);
/* A NUL-terminated string; its length, or -EFAULT, or -ENAMETOOLONG when it does not fit. */
int64_t user_string(char *to, uint64_t from, size_t cap);
/* Where the byte is, good up to its page's end and until the next change of the map. */
void *user_page(uint64_t address, bool write);

/* Runs `each` on the pieces of a range; stops at its first negative result. */
#define USER_PUT(to, value) user_write((to), &(value), sizeof(value))
#define USER_GET(value, from) user_read(&(value), (from), sizeof(value))

#endif
