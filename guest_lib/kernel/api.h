/* api.h: what the system calls of the client API have in common. */
#ifndef API_H
#define API_H

#include "kernel.h"

struct output;

/* 0, or -ENOTCONN without a channel, or -EOPNOTSUPP where the host is of a lower minor version. */
int api_check(unsigned minor);
/* A name out of program memory: 1 to RADICS_NAME_MAX bytes of UTF-8 without NUL, into
 * to[RADICS_NAME_MAX + 1]. */
int api_name(char *to, uint64_t from, size_t n);
/* An output of a u16 where `stream` is not negative, and a str. Waits for room; 0 or -errno. */
int api_room(size_t n);
struct output *api_named(uint8_t kind, int stream, const char *name, const void *rest, size_t n);

/* Something to be sent; addresses are the program's. */
struct parcel {
    uint64_t to;
    size_t to_length;
    uint64_t payload;
    size_t length;
    uint32_t lifetime_s;
};
/* An output with a parcel in it, behind `token` if there is one; waits for room. Not yet added. */
int api_parcel(uint8_t kind, const uint64_t *token, const struct parcel *p, struct output **o);

#endif
