/* channel.c: the guest's end of bench/guest_channel.py. Its source says what to do. */
#include <radics.h>
#include <stdlib.h>
#include <string.h>

static char bytes[RADICS_MESSAGE_MAX];

static void say(const char *to, size_t n)
{
    if (radics_send(to, bytes, n, 0))
        abort();
}

int main(void)
{
    unsigned long count, size;
    int orders = radics_subscribe("orders");
    for (long n; (n = radics_receive(orders, bytes, sizeof bytes, -1, NULL)) >= 0;) {
        switch (bytes[0]) {
        case 'e': /* echo */
            say("dtn://host/end", 1);
            break;
        case 's': /* send so many of such a size */
            memcpy(&count, bytes + 8, 8);
            memcpy(&size, bytes + 16, 8);
            for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (char)(i * 2654435761u >> 13);
            while (count--)
                say("dtn://host/flood", size);
            say("dtn://host/end", 1);
            break;
        case 'l': /* last of many */
            say("dtn://host/end", 1);
            break;
        default:
            break;
        }
    }
    return 0;
}
