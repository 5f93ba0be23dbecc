/*
 * kv.c: the program's key-value scratch. It lies in kernel memory, so it is in every snapshot, and
 * a program that overwrites itself cannot reach it. Few keys, so a list will do.
 */
#include "api.h"
#include "heap.h"
#include "radics_abi.h"
#include "syscall.h"
#include "user.h"

struct entry {
    struct list link;
    size_t key_length, length;
    uint8_t bytes[]; /* key, value */
};

static struct list entries = {&entries, &entries};
static size_t keys, bytes;

static struct entry *find(const char *key, size_t n)
{
    for (struct list *l = entries.next; l != &entries; l = l->next) {
        struct entry *e = container_of(l, struct entry, link);
        if (e->key_length == n && !memcmp(e->bytes, key, n))
            return e;
    }
    return NULL;
}

static void forget(struct entry *e)
{
    list_remove(&e->link);
    keys--;
    bytes -= e->key_length + e->length;
    heap_free(e);
}

static int64_t put_value(const char *key, const struct radics_kv_args *a)
{
    struct entry *old = find(key, a->key_len);
    size_t before = old ? old->key_length + old->length : 0;
    if (a->value_len > RADICS_KV_BYTES_MAX ||
        bytes - before + a->key_len + a->value_len > RADICS_KV_BYTES_MAX ||
        keys - (old != NULL) == RADICS_KV_KEYS_MAX)
        return -ENOSPC;
    struct entry *e = heap_alloc_for_program(sizeof *e + a->key_len + a->value_len);
    if (!e)
        return -ENOMEM;
    if (user_read(e->bytes + a->key_len, (uint64_t)a->value, a->value_len)) {
        heap_free(e);
        return -EFAULT;
    }
    if (old)
        forget(old);
    memcpy(e->bytes, key, a->key_len);
    e->key_length = a->key_len;
    e->length = a->value_len;
    list_add_before(&entries, &e->link);
    keys++;
    bytes += e->key_length + e->length;
    return 0;
}

static int64_t get_value(const struct entry *e, const struct radics_kv_args *a)
{
    size_t n = MIN(e->length, a->value_len);
    if (user_write((uint64_t)a->value, e->bytes + e->key_length, n))
        return -EFAULT;
    return (int64_t)e->length;
}

/* As many whole keys as fit. */
static int64_t list_keys(const struct radics_kv_args *a)
{
    size_t at = 0;
    for (struct list *l = entries.next; l != &entries; l = l->next) {
        struct entry *e = container_of(l, struct entry, link);
        uint64_t to = (uint64_t)a->value + at;
        bool fits = at + e->key_length + 1 <= a->value_len;
        at += e->key_length + 1;
        if (fits && (user_write(to, e->bytes, e->key_length) || user_zero(to + e->key_length, 1)))
            return -EFAULT;
    }
    return (int64_t)at;
}

int64_t sys_radics_kv(uint64_t args)
{
    struct radics_kv_args a;
    char key[RADICS_NAME_MAX + 1];
    if (USER_GET(a, args))
        return -EFAULT;
    if (a.op == RADICS_KV_LIST)
        return list_keys(&a);
    int error = a.op > RADICS_KV_LIST ? -EINVAL : api_name(key, (uint64_t)a.key, a.key_len);
    if (error)
        return error;
    if (a.op == RADICS_KV_PUT)
        return put_value(key, &a);
    struct entry *e = find(key, a.key_len);
    if (!e)
        return -ENOENT;
    if (a.op == RADICS_KV_GET)
        return get_value(e, &a);
    forget(e);
    return 0;
}
