/* radics_java.c: Radics.java's native methods over radics.h. */
#include <errno.h>
#include <jni.h>
#include <stdlib.h>
#include <string.h>

#include "radics.h"

#define METHOD(type, name) JNIEXPORT type JNICALL Java_radics_Radics_##name

static void fail(JNIEnv *env, long error)
{
    jclass class = (*env)->FindClass(env, "radics/Radics$Failure");
    jmethodID make = class ? (*env)->GetMethodID(env, class, "<init>", "(I)V") : NULL;
    jobject failure = make ? (*env)->NewObject(env, class, make, (jint)-error) : NULL;
    if (failure)
        (*env)->Throw(env, failure);
}

static jbyteArray bytes(JNIEnv *env, const void *from, long n)
{
    jbyteArray array = (*env)->NewByteArray(env, (jsize)n);
    if (array)
        (*env)->SetByteArrayRegion(env, array, 0, (jsize)n, from);
    return array;
}

static jobject message(JNIEnv *env, const void *payload, long n, const struct radics_message *m)
{
    jclass class = (*env)->FindClass(env, "radics/Radics$Message");
    jmethodID make = class ? (*env)->GetMethodID(env, class, "<init>",
                                                 "([BLjava/lang/String;Ljava/lang/String;J)V")
                           : NULL;
    jbyteArray array = make ? bytes(env, payload, n) : NULL;
    jstring from = array ? (*env)->NewStringUTF(env, m->from) : NULL;
    jstring to = from ? (*env)->NewStringUTF(env, m->to) : NULL;
    return to ? (*env)->NewObject(env, class, make, array, from, to, (jlong)m->number) : NULL;
}

/* A call with a name: the name in C for as long as it takes. */
static jint named(JNIEnv *env, jstring name, int (*call)(const char *name, void *more), void *more)
{
    const char *text = (*env)->GetStringUTFChars(env, name, NULL);
    if (!text)
        return -ENOMEM;
    int result = call(text, more);
    (*env)->ReleaseStringUTFChars(env, name, text);
    return result;
}

struct payload {
    void *bytes;
    size_t n;
    long lifetime_s;
};

static jint named_with(JNIEnv *env, jstring name, jbyteArray array, long lifetime_s,
                       int (*call)(const char *name, void *more))
{
    struct payload p = {(*env)->GetByteArrayElements(env, array, NULL),
                        (size_t)(*env)->GetArrayLength(env, array), lifetime_s};
    if (!p.bytes)
        return -ENOMEM;
    jint result = named(env, name, call, &p);
    (*env)->ReleaseByteArrayElements(env, array, p.bytes, JNI_ABORT);
    return result;
}

static int send(const char *to, void *more)
{
    const struct payload *p = more;
    return radics_send(to, p->bytes, p->n, (unsigned long)p->lifetime_s);
}

static int put(const char *key, void *more)
{
    const struct payload *p = more;
    return radics_kv_put(key, p->bytes, p->n);
}

static int subscribe(const char *source, void *none)
{
    return (void)none, radics_subscribe(source);
}
static int serve(const char *service, void *none) { return (void)none, radics_serve(service); }
static int erase(const char *key, void *none) { return (void)none, radics_kv_erase(key); }

static int move(const char *name, void *what)
{
    switch (*(jint *)what) {
    case RADICS_HINT_NEAR:
        return radics_move_near(name);
    case RADICS_HINT_NODE:
        return radics_move_to(name);
    case RADICS_HINT_STAY:
        return radics_stay();
    default:
        return radics_move_free();
    }
}

static int log_line(const char *text, void *level)
{
    return radics_log((enum radics_level) * (jint *)level, text);
}

METHOD(jint, sendFor)(JNIEnv *env, jclass c, jstring to, jbyteArray payload, jlong lifetime_s)
{
    (void)c;
    return named_with(env, to, payload, lifetime_s, send);
}

METHOD(jint, putValue)(JNIEnv *env, jclass c, jstring key, jbyteArray value)
{
    (void)c;
    return named_with(env, key, value, 0, put);
}

METHOD(jint, subscribeTo)(JNIEnv *env, jclass c, jstring source)
{
    (void)c;
    return named(env, source, subscribe, NULL);
}

METHOD(jint, serveAs)(JNIEnv *env, jclass c, jstring service)
{
    (void)c;
    return named(env, service, serve, NULL);
}

METHOD(jint, eraseValue)(JNIEnv *env, jclass c, jstring key)
{
    (void)c;
    return named(env, key, erase, NULL);
}

METHOD(jint, hint)(JNIEnv *env, jclass c, jint what, jstring name)
{
    (void)c;
    return named(env, name, move, &what);
}

METHOD(jint, logLine)(JNIEnv *env, jclass c, jint level, jstring text)
{
    (void)c;
    return named(env, text, log_line, &level);
}

METHOD(jint, closeStream)(JNIEnv *env, jclass c, jint stream)
{
    (void)env, (void)c;
    return radics_close(stream);
}

METHOD(jint, makeCheckpoint)(JNIEnv *env, jclass c)
{
    (void)env, (void)c;
    return radics_checkpoint();
}

/* ---- what has a result -------------------------------------------------------------------- */

METHOD(jobject, receive__IJ)(JNIEnv *env, jclass c, jint stream, jlong timeout_ns)
{
    struct radics_message head;
    (void)c;
    char *buf = malloc(RADICS_MESSAGE_MAX);
    long n = buf ? radics_receive(stream, buf, RADICS_MESSAGE_MAX, timeout_ns, &head) : -ENOMEM;
    jobject result = n < 0 ? NULL : message(env, buf, n, &head);
    if (n < 0 && n != -ETIMEDOUT && n != -ENODATA)
        fail(env, n);
    free(buf);
    return result;
}

struct question {
    struct payload payload;
    char *reply;
    int64_t timeout_ns;
    struct radics_message head;
};

static int ask(const char *to, void *more)
{
    struct question *q = more;
    return (int)radics_request(to, q->payload.bytes, q->payload.n, q->reply, RADICS_MESSAGE_MAX,
                               q->timeout_ns, &q->head);
}

METHOD(jobject, request__Ljava_lang_String_2_3BJ)
(JNIEnv *env, jclass c, jstring to, jbyteArray payload, jlong timeout_ns)
{
    struct question q = {.timeout_ns = timeout_ns, .reply = malloc(RADICS_MESSAGE_MAX)};
    (void)c;
    q.payload.bytes = (*env)->GetByteArrayElements(env, payload, NULL);
    q.payload.n = (size_t)(*env)->GetArrayLength(env, payload);
    jint n = q.reply && q.payload.bytes ? named(env, to, ask, &q) : -ENOMEM;
    if (q.payload.bytes)
        (*env)->ReleaseByteArrayElements(env, payload, q.payload.bytes, JNI_ABORT);
    jobject result = n < 0 ? NULL : message(env, q.reply, n, &q.head);
    if (n < 0 && n != -ETIMEDOUT)
        fail(env, n);
    free(q.reply);
    return result;
}

static int get(const char *key, void *more)
{
    struct payload *p = more;
    return (int)radics_kv_get(key, p->bytes, p->n);
}

METHOD(jbyteArray, get)(JNIEnv *env, jclass c, jstring key)
{
    struct payload p = {malloc(RADICS_KV_BYTES_MAX), RADICS_KV_BYTES_MAX, 0};
    (void)c;
    jint n = p.bytes ? named(env, key, get, &p) : -ENOMEM;
    jbyteArray result = n < 0 ? NULL : bytes(env, p.bytes, n);
    if (n < 0 && n != -ENOENT)
        fail(env, n);
    free(p.bytes);
    return result;
}

METHOD(jstring, info)(JNIEnv *env, jclass c, jint what)
{
    char text[RADICS_STREAMS_MAX * (RADICS_NAME_MAX + 1)];
    (void)c;
    long n = radics_info(what, text, sizeof text);
    if (n < 0)
        fail(env, n);
    return n < 0 ? NULL : (*env)->NewStringUTF(env, text);
}
