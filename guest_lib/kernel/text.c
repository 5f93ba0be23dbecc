/* text.c: the bytes and text functions that gcc and the kernel expect to exist. */
#include "kernel.h"

void *memmove(void *dst, const void *src, size_t n)
{
    char *d = dst;
    const char *s = src;
    if (d <= s || d >= s + n)
        return memcpy(dst, src, n);
    while (n--)
        d[n] = s[n];
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

struct text {
    char *buf;
    size_t cap, len;
};

static void put(struct text *t, char c)
{
    if (t->len + 1 < t->cap)
        t->buf[t->len++] = c;
}

static void put_number(struct text *t, uint64_t value, unsigned base, bool negative)
{
    char digits[24];
    size_t n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (negative)
        put(t, '-');
    while (n)
        put(t, digits[--n]);
}

/* %s %c %d %u %x, each number also with l; %% too. Always terminates; returns the length. */
size_t format_text_v(char *buf, size_t cap, const char *format, va_list args)
{
    struct text t = {buf, cap, 0};
    for (; *format; format++) {
        if (*format != '%') {
            put(&t, *format);
            continue;
        }
        bool wide = *++format == 'l';
        if (wide)
            format++;
        if (*format == 's') {
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(&t, *s);
        } else if (*format == 'd') {
            int64_t v = wide ? va_arg(args, int64_t) : va_arg(args, int);
            put_number(&t, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0);
        } else if (*format == 'u' || *format == 'x') {
            uint64_t v = wide ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            put_number(&t, v, *format == 'u' ? 10 : 16, false);
        } else if (*format == 'c') {
            put(&t, (char)va_arg(args, int));
        } else {
            put(&t, *format);
        }
    }
    buf[t.len] = 0;
    return t.len;
}

size_t format_text(char *buf, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = format_text_v(buf, cap, format, args);
    va_end(args);
    return n;
}
