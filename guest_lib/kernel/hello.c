/* hello.c: what a host says first: who it and the VM are, and what the program starts with. */
#include "hello.h"
#include "channel.h"
#include "checkpoint.h"
#include "heap.h"
#include "page.h"
#include "process.h"
#include "session.h"

static uint16_t minor;
static uint32_t branch;
static bool fed; /* standard input, as the first hello said */
static char vm_name[RADICS_NAME_MAX + 1], vm_eid[RADICS_NAME_MAX + 1];
static char host_name[RADICS_NAME_MAX + 1], host_eid[RADICS_NAME_MAX + 1], epoch_text[24];
static char branch_text[12], memory_text[24], minor_text[12];
static char *sources = ""; /* one a line */
static struct process_arguments first_arguments;

unsigned hello_minor(void) { return minor; }
const struct process_arguments *hello_arguments(void) { return &first_arguments; }
uint32_t session_branch(void) { return branch; }
bool session_stdin(void) { return fed; }

const char *session_text(int what)
{
    static const char *const texts[] = {
        [RADICS_INFO_NAME] = vm_name,       [RADICS_INFO_EID] = vm_eid,
        [RADICS_INFO_HOST] = host_name,     [RADICS_INFO_HOST_EID] = host_eid,
        [RADICS_INFO_EPOCH] = epoch_text,   [RADICS_INFO_MEMORY] = memory_text,
        [RADICS_INFO_BRANCH] = branch_text, [RADICS_INFO_HOST_ABI] = minor_text,
    };
    if (what == RADICS_INFO_SOURCES)
        return sources;
    return what >= 0 && (size_t)what < ARRAY_SIZE(texts) ? texts[what] : NULL;
}

const char *channel_vm_name(void) { return vm_name[0] ? vm_name : "radics"; }

/* ---- reading ------------------------------------------------------------------------------ */

/* A list of str: how many, and how many bytes with a NUL after each. */
static unsigned list_measure(struct reader *r, size_t *bytes)
{
    unsigned n = (unsigned)read_integer(r, 2);
    for (unsigned i = 0; i < n && !r->bad; i++) {
        size_t length;
        read_string(r, RADICS_FRAME_MAX, &length);
        *bytes += length + 1;
    }
    return n;
}

static char *list_copy(struct reader *r, char *to, char after)
{
    unsigned n = (unsigned)read_integer(r, 2);
    for (unsigned i = 0; i < n; i++) {
        size_t length;
        const uint8_t *s = read_string(r, RADICS_FRAME_MAX, &length);
        memcpy(to, s, length);
        to += length;
        *to++ = after;
    }
    return to;
}

bool hello_read(struct hello *h, const uint8_t *body, size_t n)
{
    struct reader r = {body, n, false};
    h->major = (uint16_t)read_integer(&r, 2);
    h->minor = (uint16_t)read_integer(&r, 2);
    h->nonce = read_integer(&r, 8);
    h->epoch = read_integer(&r, 8);
    h->wall_ns = read_integer(&r, 8);
    h->out_acked = read_integer(&r, 8);
    h->seed = read_bytes(&r, 32);
    for (int i = 0; i < 4; i++)
        h->names[i] = read_string(&r, RADICS_NAME_MAX, &h->lengths[i]);
    h->lists = r;
    size_t ignored = 0;
    for (int i = 0; i < 3; i++)
        list_measure(&r, &ignored);
    bool whole = !r.bad;
    h->branch = (uint32_t)read_integer(&r, 4); /* zeroes where an older host says nothing */
    h->checkpoint = read_integer(&r, 8);
    h->checkpoint_error = (uint32_t)read_integer(&r, 4);
    h->has_stdin = read_integer(&r, 1);
    return whole;
}

/* ---- keeping ------------------------------------------------------------------------------ */

/* Keeps argv, environment and sources for the first start. */
static void keep_lists(const struct hello *h)
{
    struct reader measure = h->lists, copy = h->lists;
    size_t strings = 0, names = 0;
    first_arguments.argc = list_measure(&measure, &strings);
    first_arguments.envc = list_measure(&measure, &strings);
    list_measure(&measure, &names);
    char *to = heap_alloc(strings + 1), *lines = heap_alloc(names + 1);
    if (!to || !lines)
        panic("no memory for arguments");
    first_arguments.strings = to;
    first_arguments.bytes = strings;
    to = list_copy(&copy, to, 0);
    list_copy(&copy, to, 0);
    list_copy(&copy, lines, '\n');
    sources = lines;
}

/* What came with version 1.1. */
static void tell_more(const struct hello *h)
{
    minor = h->minor;
    format_text(minor_text, sizeof minor_text, "%u.%u", h->major, h->minor);
    format_text(memory_text, sizeof memory_text, "%lu", memory_size());
    if (!first_arguments.strings)
        fed = h->has_stdin;
    if (!minor)
        return; /* it does not know: the VM is no other than before */
    branch = h->branch;
    format_text(branch_text, sizeof branch_text, "%u", branch);
    checkpoint_told(h->checkpoint, h->checkpoint_error, branch);
}

void hello_keep(const struct hello *h)
{
    char *const to[4] = {vm_name, vm_eid, host_name, host_eid};
    for (int i = 0; i < 4; i++) {
        memcpy(to[i], h->names[i], h->lengths[i]);
        to[i][h->lengths[i]] = 0;
    }
    format_text(epoch_text, sizeof epoch_text, "%lu", h->epoch);
    tell_more(h);
    if (!first_arguments.strings)
        keep_lists(h);
}
