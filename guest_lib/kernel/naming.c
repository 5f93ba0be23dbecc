/* naming.c: the system calls that make a stream of a name, and end it. */
#include "api.h"
#include "heap.h"
#include "output.h"
#include "radics_abi.h"
#include "session.h"
#include "stream.h"
#include "syscall.h"

/* A stream of that name: the one there is, or a new one, of which the host is told. */
static int64_t named(uint8_t kind, uint64_t at, size_t n, uint64_t after)
{
    char name[RADICS_NAME_MAX + 1];
    bool serves = kind == KIND_SERVICE;
    size_t rest = serves ? 0 : sizeof after;
    int error = api_name(name, at, n);
    if (!error && serves && name[0] == '~')
        error = -EINVAL;
    if (!error)
        error = api_room(4 + n + rest);
    if (error)
        return error;
    int id = stream_find(kind, name);
    if (id > 0)
        return id;
    if ((id = stream_new(kind, name, after)) < 0)
        return id;
    struct output *o =
        api_named(serves ? RADICS_OUT_SERVE : RADICS_OUT_SUBSCRIBE, id, name, &after, rest);
    if (!o) {
        stream_forget(id);
        return -ENOMEM;
    }
    output_add(o);
    return id;
}

int64_t sys_radics_subscribe(uint64_t name, size_t n)
{
    int error = api_check(0);
    return error ? error : named(KIND_SOURCE, name, n, 0);
}

int64_t sys_radics_subscribe_after(uint64_t name, size_t n, uint64_t after)
{
    int error = api_check(after ? 1 : 0);
    if (!error && after > INT64_MAX)
        error = -EINVAL;
    return error ? error : named(KIND_SOURCE, name, n, after);
}

int64_t sys_radics_serve(uint64_t name, size_t n)
{
    int error = api_check(1);
    return error ? error : named(KIND_SERVICE, name, n, 0);
}

int64_t sys_radics_close(int stream)
{
    uint16_t id = (uint16_t)stream;
    int error = api_check(1);
    if (!error)
        error = api_room(2);
    if (error)
        return error;
    if (stream <= 0 || stream >= RADICS_STREAM_TIMERS || !stream_get(stream))
        return -EINVAL;
    struct output *o = output_new(RADICS_OUT_CLOSE, 2);
    if (!o)
        return -ENOMEM;
    memcpy(o->bytes + 1, &id, 2);
    output_add(o);
    stream_close(stream, o->number);
    return 0;
}
