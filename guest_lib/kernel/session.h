/* session.h: what the files of the channel share; the rest of the kernel sees channel.h. */
#ifndef SESSION_H
#define SESSION_H

#include "kernel.h"

void session_pump(void);       /* hand the device whatever waits to be sent */
bool session_started(void);    /* a host has said hello */
unsigned session_minor(void);  /* of the host there is now */
uint32_t session_branch(void); /* how often the VM was set back to an earlier state */
bool session_stdin(void);      /* descriptor 0 reads RADICS_STREAM_STDIN */

/* What the last hello told; texts are NUL-terminated. */
const char *session_text(int what); /* RADICS_INFO_*; NULL: no such */

#endif
