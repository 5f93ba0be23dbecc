/*
 * request.h: requests that wait for their reply (radics_abi.h, REQUESTS). The token in the reply's
 * address is all that joins the two; it lives here, in memory, and so does the reply that came. So a
 * move changes nothing, the first reply counts, and every other one is nobody's.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "stream.h"

struct request {
    uint64_t number; /* 0: a free place */
    uint64_t token, deadline;
    bool own; /* only for who names it */
    struct message *reply;
};

/* Whether a message is for us alone: then it is kept, or freed, here. */
bool request_answered(struct message *m);
struct request *request_find(uint64_t number);
/* One that has its reply or is out of time: that number's, or for 0 any that is not one's own. */
struct request *request_due(uint64_t number);
/* When one of those will be out of time. */
uint64_t request_deadline(uint64_t number);
void request_free(struct request *q);

#endif
