/* complaint.c: see complaint.h. */
#include "complaint.h"
#include "clock.h"
#include "radics_abi.h"
#include "session.h"
#include "wire.h"

static struct {
    uint8_t code, type;
    uint64_t detail;
} waiting[RADICS_ERRORS_BURST];
static unsigned count, allowed = RADICS_ERRORS_BURST;
static uint64_t total, since; /* since when `allowed` is what it is */

static void allow(void)
{
    uint64_t now = clock_now(), grown = (now - since) / NS_PER_S;
    if (!grown)
        return;
    since = now;
    allowed = (unsigned)MIN(allowed + grown, RADICS_ERRORS_BURST);
}

void complain(uint8_t code, uint8_t type, uint64_t detail)
{
    total++;
    allow();
    if (!session_minor() || !allowed || count == RADICS_ERRORS_BURST)
        return;
    allowed--;
    waiting[count].code = code;
    waiting[count].type = type;
    waiting[count++].detail = detail;
}

uint8_t *complaints_put(uint8_t *out)
{
    char text[32];
    for (unsigned i = 0; i < count; i++) {
        struct encoder e;
        format_text(text, sizeof text, "%lu so far", total);
        frame_begin(&e, out, RADICS_F_ERROR_BACK);
        FRAME_PUT(&e, waiting[i].code);
        FRAME_PUT(&e, waiting[i].type);
        FRAME_PUT(&e, waiting[i].detail);
        frame_put_string(&e, text);
        out = frame_end(&e);
    }
    count = 0;
    return out;
}
