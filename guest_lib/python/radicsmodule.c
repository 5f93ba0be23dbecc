/*
 * radicsmodule.c: _radics, the calls of radics.h as they are; radics.py makes them comfortable.
 *
 * Failures are OSError with radics.h's errno, of which TimeoutError is a kind. Whatever waits lets
 * other threads run, and Python's signal handlers.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <time.h>

#include "radics.h"

static PyObject *fail(long error)
{
    errno = (int)-error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *number(long long n) { return n < 0 ? fail(n) : PyLong_FromLongLong(n); }

static PyObject *send(PyObject *self, PyObject *args)
{
    const char *to;
    Py_buffer payload;
    unsigned long lifetime_s;
    int error;
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*k", &to, &payload, &lifetime_s))
        return NULL;
    Py_BEGIN_ALLOW_THREADS error = radics_send(to, payload.buf, (size_t)payload.len, lifetime_s);
    Py_END_ALLOW_THREADS PyBuffer_Release(&payload);
    return number(error);
}

/* ---- receiving ---------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* How long it may still wait, of what it was given at `start`; -1: for ever. */
static int64_t left(int64_t timeout_ns, int64_t start)
{
    int64_t gone = now_ns() - start;
    return timeout_ns < 0 ? -1 : gone < timeout_ns ? timeout_ns - gone : 0;
}

static PyObject *message_tuple(const char *payload, long n, const struct radics_message *m)
{
    return Py_BuildValue("(y#ssKii)", payload, (Py_ssize_t)n, m->from, m->to,
                         (unsigned long long)m->number, m->stream, m->flags);
}

/* The next message as (payload, from, to, number, stream, flags). */
static PyObject *receive(PyObject *self, PyObject *args)
{
    int stream;
    long long timeout_ns;
    (void)self;
    if (!PyArg_ParseTuple(args, "iL", &stream, &timeout_ns))
        return NULL;
    int64_t start = now_ns();
    struct radics_message message;
    size_t room = 4096;
    PyObject *result = NULL;
    char *buf = NULL;
    long n = -EMSGSIZE;
    while (n == -EMSGSIZE || n == -EINTR) {
        if (n == -EINTR && PyErr_CheckSignals())
            break;
        char *more = PyMem_Realloc(buf, room);
        if (!more) {
            PyErr_NoMemory();
            break;
        }
        buf = more;
        int64_t wait_ns = left(timeout_ns, start);
        Py_BEGIN_ALLOW_THREADS n = radics_receive(stream, buf, room, wait_ns, &message);
        Py_END_ALLOW_THREADS if (n == -EMSGSIZE) room = message.length;
    }
    if (!PyErr_Occurred())
        result = n < 0 ? fail(n) : message_tuple(buf, n, &message);
    PyMem_Free(buf);
    return result;
}

static PyObject *request(PyObject *self, PyObject *args)
{
    const char *to;
    Py_buffer payload;
    long long timeout_ns;
    struct radics_message message;
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*L", &to, &payload, &timeout_ns))
        return NULL;
    char *reply = PyMem_Malloc(RADICS_MESSAGE_MAX);
    if (!reply) {
        PyBuffer_Release(&payload);
        return PyErr_NoMemory();
    }
    long n;
    Py_BEGIN_ALLOW_THREADS n = radics_request(to, payload.buf, (size_t)payload.len, reply,
                                              RADICS_MESSAGE_MAX, timeout_ns, &message);
    Py_END_ALLOW_THREADS PyBuffer_Release(&payload);
    PyObject *result = n < 0 ? fail(n) : message_tuple(reply, n, &message);
    PyMem_Free(reply);
    return result;
}

/* A subscription's stream; after the message `after`, from the first on without. */
static PyObject *subscribe(PyObject *self, PyObject *args)
{
    const char *source;
    unsigned long long after = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "s|K", &source, &after))
        return NULL;
    return number(PyTuple_Size(args) > 1 ? radics_subscribe_after(source, after)
                                         : radics_subscribe(source));
}

static PyObject *serve(PyObject *self, PyObject *args)
{
    const char *service;
    (void)self;
    return PyArg_ParseTuple(args, "s", &service) ? number(radics_serve(service)) : NULL;
}

static PyObject *close_stream(PyObject *self, PyObject *args)
{
    int stream;
    (void)self;
    return PyArg_ParseTuple(args, "i", &stream) ? number(radics_close(stream)) : NULL;
}

/* ---- time, state, place ------------------------------------------------------------------- */

static PyObject *timer(PyObject *self, PyObject *args)
{
    long long delay_ns, period_ns;
    (void)self;
    if (!PyArg_ParseTuple(args, "LL", &delay_ns, &period_ns))
        return NULL;
    return number(radics_timer(delay_ns, period_ns));
}

static PyObject *timer_cancel(PyObject *self, PyObject *args)
{
    long long which;
    (void)self;
    return PyArg_ParseTuple(args, "L", &which) ? number(radics_timer_cancel(which)) : NULL;
}

static PyObject *checkpoint(PyObject *self, PyObject *none)
{
    int result;
    (void)self, (void)none;
    Py_BEGIN_ALLOW_THREADS result = radics_checkpoint();
    Py_END_ALLOW_THREADS return number(result);
}

static PyObject *move(PyObject *self, PyObject *args)
{
    int hint;
    const char *name;
    (void)self;
    if (!PyArg_ParseTuple(args, "is", &hint, &name))
        return NULL;
    return number(hint == RADICS_HINT_NEAR   ? radics_move_near(name)
                  : hint == RADICS_HINT_NODE ? radics_move_to(name)
                  : hint == RADICS_HINT_STAY ? radics_stay()
                                             : radics_move_free());
}

/* ---- keys and values, and about ----------------------------------------------------------- */

/* A text of a length that is known only once it is there. */
static PyObject *read_all(long (*read)(const void *what, void *to, size_t cap), const void *what)
{
    PyObject *bytes = NULL;
    long n = 256;
    for (Py_ssize_t room = -1; room < n;) {
        room = n;
        Py_XSETREF(bytes, PyBytes_FromStringAndSize(NULL, room));
        if (!bytes)
            return NULL;
        n = read(what, PyBytes_AsString(bytes), (size_t)room);
        if (n < 0) {
            Py_DECREF(bytes);
            return fail(n);
        }
    }
    _PyBytes_Resize(&bytes, n);
    return bytes;
}

static long read_key(const void *key, void *to, size_t cap) { return radics_kv_get(key, to, cap); }

static long read_keys(const void *none, void *to, size_t cap)
{
    (void)none;
    return radics_kv_list(to, cap);
}

static long read_info(const void *what, void *to, size_t cap)
{
    return radics_info(*(const int *)what, to, cap + 1); /* bytes have room for a NUL */
}

static PyObject *kv_get(PyObject *self, PyObject *args)
{
    const char *key;
    (void)self;
    return PyArg_ParseTuple(args, "s", &key) ? read_all(read_key, key) : NULL;
}

static PyObject *kv_put(PyObject *self, PyObject *args)
{
    const char *key;
    Py_buffer value;
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*", &key, &value))
        return NULL;
    int error = radics_kv_put(key, value.buf, (size_t)value.len);
    PyBuffer_Release(&value);
    return number(error);
}

static PyObject *kv_erase(PyObject *self, PyObject *args)
{
    const char *key;
    (void)self;
    return PyArg_ParseTuple(args, "s", &key) ? number(radics_kv_erase(key)) : NULL;
}

static PyObject *kv_list(PyObject *self, PyObject *none)
{
    (void)self, (void)none;
    return read_all(read_keys, NULL);
}

static PyObject *info(PyObject *self, PyObject *args)
{
    int what;
    (void)self;
    return PyArg_ParseTuple(args, "i", &what) ? read_all(read_info, &what) : NULL;
}

static PyObject *log_line(PyObject *self, PyObject *args)
{
    int level;
    const char *text;
    (void)self;
    if (!PyArg_ParseTuple(args, "is", &level, &text))
        return NULL;
    return number(radics_log((enum radics_level)level, text));
}

static PyMethodDef methods[] = {
    {"send", send, METH_VARARGS, NULL},
    {"receive", receive, METH_VARARGS, NULL},
    {"request", request, METH_VARARGS, NULL},
    {"subscribe", subscribe, METH_VARARGS, NULL},
    {"serve", serve, METH_VARARGS, NULL},
    {"close", close_stream, METH_VARARGS, NULL},
    {"timer", timer, METH_VARARGS, NULL},
    {"timer_cancel", timer_cancel, METH_VARARGS, NULL},
    {"checkpoint", checkpoint, METH_NOARGS, NULL},
    {"move", move, METH_VARARGS, NULL},
    {"kv_get", kv_get, METH_VARARGS, NULL},
    {"kv_put", kv_put, METH_VARARGS, NULL},
    {"kv_erase", kv_erase, METH_VARARGS, NULL},
    {"kv_list", kv_list, METH_NOARGS, NULL},
    {"info", info, METH_VARARGS, NULL},
    {"log", log_line, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_radics", .m_size = 0,
                                        .m_methods = methods};

PyMODINIT_FUNC PyInit__radics(void);
PyMODINIT_FUNC PyInit__radics(void) { return PyModule_Create(&definition); }
