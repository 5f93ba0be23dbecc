/* request.c: see request.h. */
#include "request.h"
#include "api.h"
#include "channel.h"
#include "clock.h"
#include "heap.h"
#include "output.h"
#include "random.h"
#include "session.h"
#include "syscall.h"
#include "user.h"

#define TOKEN_LENGTH 17 /* "~" and 16 hexadecimal digits */

static struct request requests[RADICS_REQUESTS_MAX];
static uint64_t last;

/* 0: it is no token. */
static uint64_t token_of(const struct message *m)
{
    const uint8_t *to = m->bytes + m->from_length;
    uint64_t token = 0;
    if (m->to_length != TOKEN_LENGTH || *to != '~')
        return 0;
    for (int i = 1; i < TOKEN_LENGTH; i++) {
        unsigned c = to[i], digit = c - '0' < 10 ? c - '0' : c - 'a' < 6 ? c - 'a' + 10 : 16;
        if (digit > 15)
            return 0;
        token = token << 4 | digit;
    }
    return token;
}

bool request_answered(struct message *m)
{
    if (!m->to_length || m->bytes[m->from_length] != '~')
        return false;
    uint64_t token = token_of(m);
    for (struct request *q = requests; token && q < requests + RADICS_REQUESTS_MAX; q++) {
        if (q->number && q->token == token && !q->reply) {
            q->reply = m;
            return true;
        }
    }
    heap_free(m);
    return true;
}

struct request *request_find(uint64_t number)
{
    for (struct request *q = requests; number && q < requests + RADICS_REQUESTS_MAX; q++)
        if (q->number == number)
            return q;
    return NULL;
}

static bool is_meant(const struct request *q, uint64_t number)
{
    return q->number && (number ? q->number == number : !q->own);
}

struct request *request_due(uint64_t number)
{
    for (struct request *q = requests; q < requests + RADICS_REQUESTS_MAX; q++)
        if (is_meant(q, number) && (q->reply || q->deadline <= clock_now()))
            return q;
    return NULL;
}

uint64_t request_deadline(uint64_t number)
{
    uint64_t first = NEVER;
    for (struct request *q = requests; q < requests + RADICS_REQUESTS_MAX; q++)
        if (is_meant(q, number))
            first = MIN(first, q->deadline);
    return first;
}

void request_free(struct request *q)
{
    heap_free(q->reply);
    memset(q, 0, sizeof *q);
}

/* ---- system calls ------------------------------------------------------------------------- */

/* What a request that nobody would answer in time need not travel any longer. */
static uint32_t lifetime(long long timeout_ns)
{
    if (timeout_ns < 0)
        return 0;
    return (uint32_t)MIN((uint64_t)timeout_ns / NS_PER_S + 1, UINT32_MAX);
}

int64_t sys_radics_request(uint64_t args)
{
    struct radics_request_args a;
    struct request *q = requests;
    int error = api_check(1);
    if (error)
        return error;
    if (USER_GET(a, args))
        return -EFAULT;
    if (a.timeout_ns < -1 || a.flags & ~(unsigned long)RADICS_REQUEST_OWN)
        return -EINVAL;
    struct parcel p = {(uint64_t)a.to, a.to_len, (uint64_t)a.payload, a.payload_len,
                       lifetime(a.timeout_ns)};
    struct output *o;
    uint64_t token;
    do
        random_bytes(&token, sizeof token);
    while (!token);
    error = api_parcel(RADICS_OUT_REQUEST, &token, &p, &o);
    if (error)
        return error;
    while (q < requests + RADICS_REQUESTS_MAX && q->number)
        q++;
    if (q == requests + RADICS_REQUESTS_MAX) {
        heap_free(o);
        return -EAGAIN;
    }
    uint64_t now = clock_now(), timeout = (uint64_t)a.timeout_ns;
    q->number = ++last;
    q->token = token;
    q->deadline = a.timeout_ns < 0 || now + timeout < now ? NEVER : now + timeout;
    q->own = a.flags & RADICS_REQUEST_OWN;
    output_add(o);
    if (!q->own)
        streams_wake(); /* who waits for anything has a new deadline */
    return (int64_t)q->number;
}

int64_t sys_radics_request_cancel(uint64_t number)
{
    struct request *q = request_find(number);
    if (!q)
        return -ENOENT;
    request_free(q);
    streams_wake();
    return 0;
}
