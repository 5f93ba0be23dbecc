/*
 * beacon: says every so often where it is, and asks to be near whoever publishes what it is told.
 *
 *   radics-mesh build examples/beacon.c -o beacon.img
 *   radics-mesh run beacon.img --name beacon -- dtn://base/reports 10
 *
 * Its arguments are an EID and seconds. A mail to it names the source to be near to; an empty one
 * ends it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <radics.h>

static int report(const char *to, uint64_t beat)
{
    char host[RADICS_NAME_MAX + 1], text[RADICS_NAME_MAX + 64];
    long n = radics_info(RADICS_INFO_HOST, host, sizeof host);
    if (n < 0)
        return (int)n;
    snprintf(text, sizeof text, "beat %" PRIu64 " on %s", beat, host);
    return radics_send(to, text, strlen(text), 0);
}

int main(int argc, char **argv)
{
    static char mail[RADICS_MESSAGE_MAX + 1];
    struct radics_message message;
    const char *to = argc > 1 ? argv[1] : "dtn://base/reports";
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 60;
    int64_t period_ns = (int64_t)(seconds * 1e9), timer = radics_timer(0, period_ns);
    uint64_t beat = 0;

    while (timer > 0) {
        long n = radics_receive(RADICS_ANY, mail, sizeof mail - 1, -1, &message);
        if (n < 0 || (message.stream == RADICS_MAILBOX && n == 0))
            break;
        if (message.stream == RADICS_TIMERS && report(to, ++beat))
            break;
        if (message.stream == RADICS_MAILBOX) {
            mail[n] = 0;
            radics_move_near(mail);
        }
    }
    printf("%" PRIu64 " beats\n", beat);
    return 0;
}
