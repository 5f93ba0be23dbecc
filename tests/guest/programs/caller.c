/* Does what argv says with version 1.1 of the client API, and prints what came of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <radics.h>

#define SECOND 1000000000LL

static char buffer[RADICS_MESSAGE_MAX];

/* One after the other: C evaluates arguments in any order. */
static void say(long n) { printf("%ld ", n); }
static void line(void)
{
    printf("\n");
    fflush(stdout);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void request(const char *to, long long timeout_ns)
{
    struct radics_message reply;
    long n = radics_request(to, "ping", 4, buffer, sizeof buffer, timeout_ns, &reply);
    printf("%s: %ld %.*s\n", to, n, n < 0 ? 0 : (int)n, buffer);
}

/* Several at once; the replies in whatever order. */
static void requests(int count)
{
    int64_t first = 0;
    for (int i = 0; i < count; i++) {
        int64_t number = radics_request_begin("dtn://far/x", &i, sizeof i, 60 * SECOND);
        if (!i)
            first = number;
    }
    say(radics_request_cancel(first));
    say(radics_request_cancel(first));
    line();
    for (int i = 1; i < count; i++) {
        struct radics_message reply;
        long n = radics_receive(RADICS_ANY, buffer, sizeof buffer, -1, &reply);
        printf("%d %d %.*s\n", reply.stream == RADICS_REPLIES, (int)(reply.number - first), (int)n,
               buffer);
    }
}

static void serve(void)
{
    int echo = radics_serve("echo"), again = radics_serve("echo"), other = radics_serve("other");
    printf("%d %d %d %d\n", echo > 0, echo == again, other > 0 && other != echo,
           radics_serve("~x"));
    fflush(stdout);
    for (;;) {
        struct radics_message m;
        long n = radics_receive(RADICS_ANY, buffer, sizeof buffer, -1, &m);
        printf("%s<%s %.*s\n",
               m.stream == echo    ? "echo"
               : m.stream == other ? "other"
                                   : "mail",
               m.to, (int)n, buffer);
        fflush(stdout);
        if (n == 4 && !memcmp(buffer, "stop", 4))
            return;
        if (m.stream == echo)
            radics_reply(&m, buffer, (size_t)n);
    }
}

/* Answers its service, and never looks at its mail. */
static void deaf(void)
{
    struct radics_message m;
    int echo = radics_serve("echo");
    printf("serving\n");
    fflush(stdout);
    for (;;) {
        long n = radics_receive(echo, buffer, sizeof buffer, -1, &m);
        radics_reply(&m, buffer, (size_t)n);
    }
}

/* One message, then none until there is mail. */
static void slow(void)
{
    struct radics_message m;
    int text = radics_subscribe("text");
    radics_receive(text, buffer, sizeof buffer, -1, &m);
    printf("took one\n");
    fflush(stdout);
    radics_receive(RADICS_MAILBOX, buffer, sizeof buffer, -1, &m);
    long count = 1;
    while (radics_receive(text, buffer, sizeof buffer, -1, &m) >= 0)
        count++;
    printf("took %ld, at the end\n", count);
}

static void late(uint64_t after)
{
    struct radics_message m;
    int text = radics_subscribe_after("text", after);
    long n = radics_receive(text, buffer, sizeof buffer, -1, &m);
    printf("%.*s number %d\n", (int)n, buffer, (int)m.number);
    printf("closed %d\n", radics_close(text));
    fflush(stdout);
    struct timespec a_moment = {0, 300000000};
    nanosleep(&a_moment, NULL);
    text = radics_subscribe("text");
    n = radics_receive(text, buffer, sizeof buffer, -1, &m);
    printf("again %.*s number %d\n", (int)n, buffer, (int)m.number);
    fflush(stdout);
    radics_receive(RADICS_MAILBOX, buffer, sizeof buffer, -1, &m);
}

/* Much of one thing, for ever. */
static void flood(const char *of)
{
    for (int i = 0;; i++) {
        if (!strcmp(of, "flood-log")) {
            memset(buffer, 'x', sizeof buffer);
            write(1, buffer, sizeof buffer);
        } else if (!strcmp(of, "flood-streams")) {
            radics_close(radics_subscribe("nothing"));
        } else if (!strcmp(of, "flood-mesh")) {
            radics_request_cancel(radics_request_begin(":mesh", "", 0, -1));
        } else {
            radics_send("dtn://nowhere/", buffer, sizeof buffer, 0);
        }
    }
}

static void environment(void)
{
    for (char **e = environ; *e; e++)
        printf("%s%s", e == environ ? "" : " ", *e);
    line();
}

static void hint(const char *place)
{
    if (!strncmp(place, "node", 4))
        radics_move_to(place);
    else
        radics_move_near(place);
    radics_receive(RADICS_MAILBOX, buffer, sizeof buffer, -1, NULL);
}

static void streams(void)
{
    struct radics_message m;
    int one = radics_subscribe_after("one", 1000), two = radics_subscribe("two");
    long n = radics_receive(one, buffer, sizeof buffer, -1, &m);
    printf("%d %d: %.*s %d\n", one, two, (int)n, buffer, (int)m.number);
    say(radics_close(one));
    say(radics_close(one));
    say(radics_receive(one, buffer, 1, 0, NULL));
    line();
    /* Its number comes back only when the host knows that it is closed. */
    int three;
    do {
        three = radics_subscribe("three");
        if (three != one)
            radics_close(three);
    } while (three != one);
    n = radics_receive(three, buffer, sizeof buffer, -1, &m);
    printf("%.*s %d\n", (int)n, buffer, (int)m.number);
}

static void reuse(void)
{
    int one = radics_subscribe("one");
    radics_close(one);
    say(one);
    say(radics_subscribe("two"));
    line();
}

static void timers(void)
{
    struct radics_message m;
    int64_t start = now();
    int64_t far = radics_timer(3600 * SECOND, 0), once = radics_timer(SECOND / 5, 0);
    int64_t often = radics_timer(SECOND / 20, SECOND / 20), twice = 0, seen = 0;
    while (twice < 2) {
        long n = radics_receive(seen % 2 ? RADICS_ANY : RADICS_TIMERS, buffer, 1, -1, &m);
        if (n || m.stream != RADICS_TIMERS)
            printf("not a timer: %ld %d\n", n, m.stream);
        if (m.number == (uint64_t)once && now() - start < SECOND / 5)
            printf("early\n");
        twice += m.number == (uint64_t)once ? 2 : 0;
        seen += m.number == (uint64_t)often;
    }
    say(seen >= 2);
    say(radics_timer_cancel(often));
    say(radics_timer_cancel(once));
    say(radics_timer_cancel(far));
    say(radics_receive(RADICS_TIMERS, buffer, 1, SECOND / 20, &m));
    line();
    int64_t number;
    int count = 0;
    while ((number = radics_timer(3600 * SECOND, 0)) > 0)
        count++;
    printf("%d %d\n", count, (int)number);
}

static void *wait_for_anything(void *unused)
{
    struct radics_message m;
    (void)unused;
    radics_receive(RADICS_ANY, buffer, 1, -1, &m);
    printf("a waiting thread saw timer %d\n", (int)m.number);
    return NULL;
}

static void shared(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_anything, NULL);
    struct timespec a_moment = {0, 50000000};
    nanosleep(&a_moment, NULL); /* most probably it waits by now */
    radics_timer(SECOND / 50, 0);
    pthread_join(thread, NULL);
}

static void count_beats(int beats)
{
    struct radics_message m;
    radics_timer(SECOND / 10, SECOND / 10);
    for (int i = 0; i < beats; i++) {
        radics_receive(RADICS_ANY, buffer, 1, -1, &m);
        printf("beat %d\n", i);
        fflush(stdout);
    }
}

static void checkpoint(void)
{
    printf("before\n");
    int r = radics_checkpoint();
    char branch[16];
    radics_info(RADICS_INFO_BRANCH, branch, sizeof branch);
    printf("checkpoint %d in branch %s\n", r, branch);
    fflush(stdout);
    if (!r)
        radics_receive(RADICS_MAILBOX, buffer, sizeof buffer, -1, NULL);
}

static void checkpoint_on_mail(void)
{
    printf("waiting\n");
    fflush(stdout);
    radics_receive(RADICS_MAILBOX, buffer, sizeof buffer, -1, NULL);
    checkpoint();
}

static void hints(void)
{
    say(radics_move_near("text"));
    say(radics_move_to("laptop"));
    say(radics_stay());
    say(radics_move_free());
    say(radics_move_near(""));
    line();
}

static void kv(void)
{
    char keys[64], value[8] = "";
    say(radics_kv_get("a", value, 8));
    say(radics_kv_put("a", "one", 3));
    say(radics_kv_put("b", "", 0));
    say(radics_kv_get("a", value, 8));
    say(radics_kv_get("b", value, 8));
    printf("%s", value);
    line();
    say(radics_kv_put("a", "12345678", 8));
    say(radics_kv_get("a", value, 2));
    say(radics_kv_list(keys, sizeof keys));
    printf("%s %s %s", value, keys, keys + 2);
    line();
    say(radics_kv_erase("a"));
    say(radics_kv_erase("a"));
    say(radics_kv_put("", "", 0));
    say(radics_kv_put("big", buffer, RADICS_KV_BYTES_MAX - 4));
    say(radics_kv_put("c", "", 0));
    say(radics_kv_put("big", buffer, RADICS_KV_BYTES_MAX));
    say(radics_kv_put("big", "", 0));
    line();
    int n = 0;
    for (char key[16]; snprintf(key, sizeof key, "k%d", n), !radics_kv_put(key, key, 4); n++)
        ;
    say(n);
    say(radics_kv_put("a", "", (size_t)1 << 62));
    line();
}

/* What was put before a move is there after it. */
static void kv_over_a_move(void)
{
    char value[16] = "";
    radics_kv_put("where", "here", 5);
    printf("put\n");
    fflush(stdout);
    radics_receive(RADICS_MAILBOX, buffer, sizeof buffer, -1, NULL);
    radics_kv_get("where", value, sizeof value);
    printf("got %s\n", value);
}

static void copy_input(void)
{
    struct pollfd p = {0, POLLIN, 0};
    long n, total = 0;
    printf("ready %d\n", poll(&p, 1, 0));
    fflush(stdout);
    while ((n = read(0, buffer, 1000)) > 0) {
        fwrite(buffer, 1, (size_t)n, stdout);
        fflush(stdout);
        total += n;
    }
    printf("\n%ld bytes, %ld, %ld\n", total, n, (long)read(0, buffer, 1));
}

static void poll_input(void)
{
    struct pollfd p = {0, POLLIN, 0};
    fcntl(0, F_SETFL, O_NONBLOCK);
    long n = read(0, buffer, 1);
    printf("%ld %d\n", n, errno);
    fflush(stdout);
    printf("%d", poll(&p, 1, -1));
    n = read(0, buffer, sizeof buffer);
    printf(" %ld\n", n);
}

/* Everything of 1.1 under a host that may not know it. */
static void old(void)
{
    say(radics_serve("x"));
    say(radics_close(1));
    say(radics_checkpoint());
    say(radics_stay());
    say(radics_request_begin("dtn://x/", "", 0, 0));
    say(radics_subscribe_after("s", 7));
    say(radics_subscribe_after("s", 0));
    say(radics_send("dtn://x/", "still", 5, 0));
    line();
    struct radics_message m;
    int64_t timer = radics_timer(1, 0);
    radics_receive(RADICS_ANY, buffer, 1, -1, &m);
    say(m.number == (uint64_t)timer);
    say(radics_kv_put("a", "b", 1));
    line();
}

static void refused(void)
{
    say(radics_request("", "", 0, buffer, 1, 0, NULL));
    say(radics_request("dtn://x/", buffer, RADICS_MESSAGE_MAX + 1, buffer, 1, 0, NULL));
    say(radics_request_begin("dtn://x/", "", 0, -2));
    say(radics_request_cancel(77));
    line();
    int64_t n;
    int count = 0;
    while ((n = radics_request_begin("dtn://x/", "", 0, -1)) > 0)
        count++;
    printf("%d %d\n", count, (int)n);
}

static void mesh(void)
{
    struct radics_mesh_node node;
    struct radics_mesh_source source;
    long n = radics_mesh(buffer, sizeof buffer, 30 * SECOND);
    if (n < 0)
        printf("mesh %ld\n", n);
    for (const char *at = buffer; radics_mesh_next_node(&at, &node);)
        printf("node %s %s %s %.2f %u %lu %u %.3f %.0f %d\n", node.name, node.eid, node.arch,
               node.load, node.cores, node.memory_free_bytes, node.vms, node.latency_s, node.age_s,
               node.here);
    for (const char *at = buffer; radics_mesh_next_source(&at, &source);)
        printf("source %s %s %.0f\n", source.name, source.publisher, source.age_s);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    long number = argc > 2 ? atol(argv[2]) : 0;
#define DO(name, call)                                                                             \
    if (!strcmp(what, name))                                                                       \
    call
    DO("request", request(argc > 3 ? argv[3] : "dtn://far/x", number * SECOND));
    DO("impatient", request("dtn://far/x", SECOND / 50));
    DO("requests", requests((int)number));
    DO("serve", serve());
    DO("deaf", deaf());
    DO("slow", slow());
    DO("late", late((uint64_t)number));
    DO("environment", environment());
    if (!strncmp(what, "flood", 5))
        flood(what);
    DO("hint", hint(argc > 2 ? argv[2] : ""));
    DO("streams", streams());
    DO("reuse", reuse());
    DO("timers", timers());
    DO("shared", shared());
    DO("beats", count_beats((int)number));
    DO("checkpoint", checkpoint());
    DO("checkpoint-on-mail", checkpoint_on_mail());
    DO("hints", hints());
    DO("kv", kv());
    DO("kv-move", kv_over_a_move());
    DO("cat", copy_input());
    DO("poll", poll_input());
    DO("old", old());
    DO("refused", refused());
    DO("mesh", mesh());
    printf("done\n");
    return 0;
}
