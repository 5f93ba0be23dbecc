/* print.c: see print.h. */
#include "print.h"
#include "channel.h"
#include "clock.h"
#include "output.h"
#include "radics_abi.h"

#define LINES_BYTES 4000
#define HOLD_NS 10000000UL
#define LOG_HEAD 5 /* level, blob's length */

static char text[LINES_BYTES];
static size_t length;
static int text_level;
uint64_t print_hold_until = NEVER;

static bool add(int level, const char *from, size_t n)
{
    struct output *o = output_new(RADICS_OUT_LOG, LOG_HEAD + n);
    uint32_t size = (uint32_t)n;
    if (!o)
        return false;
    o->bytes[1] = (uint8_t)level;
    memcpy(o->bytes + 2, &size, 4);
    memcpy(o->bytes + 6, from, n);
    output_add(o);
    return true;
}

static bool flush(bool anyway)
{
    if (length && (anyway || output_fits(LOG_HEAD + 1 + length)) && add(text_level, text, length))
        length = 0;
    print_hold_until = NEVER;
    return !length;
}

bool print_flush(void) { return flush(false); }
void print_flush_anyway(void) { flush(true); }

int print_flush_waiting(void)
{
    while (!flush(false)) {
        int error = output_wait(LOG_HEAD + 1 + length);
        if (error)
            return error;
        if (output_fits(LOG_HEAD + 1 + length) && !flush(false))
            return -ENOMEM;
    }
    return 0;
}

int channel_print(int level, const char *from, size_t n)
{
    while (n) {
        if (length == LINES_BYTES || (length && level != text_level)) {
            int error = print_flush_waiting();
            if (error)
                return error;
            continue; /* another thread may have printed meanwhile */
        }
        size_t part = MIN(n, LINES_BYTES - length);
        text_level = level;
        memcpy(text + length, from, part);
        length += part;
        from += part;
        n -= part;
    }
    return 0;
}

/* A finished line goes out at once if nothing is on its way; else text waits for company. */
void channel_printed(void)
{
    if (length && text[length - 1] == '\n' && !output_unacknowledged())
        flush(false);
    else if (length && print_hold_until == NEVER)
        print_hold_until = clock_now() + HOLD_NS;
}

void print_acknowledged(void)
{
    if (length && !output_unacknowledged())
        flush(false);
}

void print_tick(uint64_t now)
{
    if (now >= print_hold_until)
        flush(false);
}

void channel_log(int level, const char *line, size_t n)
{
    flush(false);
    if (output_fits(LOG_HEAD + 1 + n))
        add(level, line, n);
}
