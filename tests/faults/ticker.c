/*
 * ticker: says what it got, each thing once, and counts in its memory as long as it executes.
 *
 *   ticker REPORTS [SOURCE]     REPORTS is an EID
 *
 * Of each message of the source and each mail it says: "s N TEXT HOST" or "m N TEXT HOST". It ends
 * with the source, if there is one, once it has got a mail "stop".
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <radics.h>

/* Found by its first bytes in the guest's memory: see watch.py. */
static volatile struct {
    char name[24];
    uint64_t ticks;
} mark __attribute__((aligned(64))) = {"RADiCS-ticker-lives-here", 0};

static int report(const char *to, char kind, const struct radics_message *m, const char *payload)
{
    char host[RADICS_NAME_MAX + 1], text[RADICS_NAME_MAX + 128];

    if (radics_info(RADICS_INFO_HOST, host, sizeof host) < 0)
        return -1;
    snprintf(text, sizeof text, "%c %llu %s %s", kind, (unsigned long long)m->number, payload, host);
    return radics_send(to, text, strlen(text), 0);
}

int main(int argc, char **argv)
{
    static char payload[RADICS_MESSAGE_MAX + 1];
    struct radics_message message;
    int stream = RADICS_MAILBOX, told_to_stop = 0, ended = argc == 2;

    if (argc < 2 || argc > 3 || (argc == 3 && (stream = radics_subscribe(argv[2])) < 0))
        return 2;
    while (!ended || !told_to_stop) {
        long n = radics_receive(ended ? RADICS_MAILBOX : RADICS_ANY, payload, sizeof payload - 1,
                                5000000, &message);
        mark.ticks++;
        if (n == -ETIMEDOUT)
            continue;
        if (n == -ENODATA) {
            ended = 1;
            continue;
        }
        if (n < 0)
            return 3;
        payload[n] = 0;
        payload[strcspn(payload, "\n")] = 0;
        if (message.stream == RADICS_MAILBOX && !strcmp(payload, "stop"))
            told_to_stop = 1;
        if (report(argv[1], message.stream == RADICS_MAILBOX ? 'm' : 's', &message, payload))
            return 4;
    }
    return 0;
}
