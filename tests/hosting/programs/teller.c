// Tells what happens to it, each by a message to argv[1]: "tick N" whenever nothing comes for
// argv[2] milliseconds, "mail N: PAYLOAD", "line N: PAYLOAD" of the source argv[3], each counted by
// itself. Mail "stop" ends it, "save" makes it ask for a checkpoint.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <radics.h>

static char buffer[RADICS_MESSAGE_MAX], told[RADICS_MESSAGE_MAX];

int main(int argc, char **argv)
{
    const char *to = argv[1];
    int64_t wait_ns = atoll(argv[2]) * 1000000;
    int source = argc > 3 ? radics_subscribe(argv[3]) : -1;
    uint64_t ticks = 0, mails = 0, lines = 0;
    for (;;) {
        struct radics_message m;
        long n = radics_receive(RADICS_ANY, buffer, sizeof buffer - 1, wait_ns ? wait_ns : -1, &m);
        if (n == -ENODATA) {
            radics_close(source);
            continue;
        }
        if (n >= 0)
            buffer[n] = 0;
        int length;
        if (n < 0)
            length = snprintf(told, sizeof told, "tick %lu", ++ticks);
        else if (m.stream == source)
            length = snprintf(told, sizeof told, "line %lu: %.60s", ++lines, buffer);
        else
            length = snprintf(told, sizeof told, "mail %lu: %.60s", ++mails, buffer);
        radics_send(to, told, (size_t)length, 0);
        if (n == 4 && !memcmp(buffer, "save", 4))
            radics_checkpoint();
        if (n == 4 && !memcmp(buffer, "stop", 4))
            return 0;
    }
}
