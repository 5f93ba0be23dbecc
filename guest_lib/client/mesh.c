/*
 * mesh.c: what the node knows of the mesh. It answers a request to ":mesh" with lines of fields
 * between tabs, in any order of lines; unknown kinds of line, and fields behind those we know, are
 * those of a later version:
 *
 *   node    name  eid  arch  cores  load  memory free  VMs  round trip in s or -  age in s  here or -
 *   source  name  publisher  age in s
 */
#include "radics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

long radics_mesh(char *buf, size_t cap, int64_t timeout_ns)
{
    long n = radics_request(":mesh", "", 0, buf, cap ? cap - 1 : 0, timeout_ns, NULL);
    if (cap)
        buf[n < 0 ? 0 : n] = 0;
    return n;
}

/* The next field of a line, cut to its room; false when the line has no more. */
static int field(const char **at, char *to, size_t cap)
{
    size_t n = strcspn(*at, "\t\n");
    size_t kept = n < cap - 1 ? n : cap - 1;
    if (!n)
        return 0;
    memcpy(to, *at, kept);
    to[kept] = 0;
    *at += n;
    if (**at == '\t')
        ++*at;
    return 1;
}

static int number(const char **at, double *to)
{
    char text[32];
    if (!field(at, text, sizeof text))
        return 0;
    *to = *text == '-' ? -1 : strtod(text, NULL);
    return 1;
}

/* To the next line of that kind, and behind its first field. */
static int find(const char **at, const char *kind)
{
    char word[16];
    while (**at) {
        const char *line = *at;
        *at += strcspn(*at, "\n");
        *at += **at == '\n';
        if (field(&line, word, sizeof word) && !strcmp(word, kind)) {
            *at = line;
            return 1;
        }
    }
    return 0;
}

static void skip_line(const char **at)
{
    *at += strcspn(*at, "\n");
    *at += **at == '\n';
}

int radics_mesh_next_node(const char **at, struct radics_mesh_node *node)
{
    double cores, memory, vms;
    char here[8];
    while (find(at, "node")) {
        int whole = field(at, node->name, sizeof node->name) &&
                    field(at, node->eid, sizeof node->eid) &&
                    field(at, node->arch, sizeof node->arch) && number(at, &cores) &&
                    number(at, &node->load) && number(at, &memory) && number(at, &vms) &&
                    number(at, &node->latency_s) && number(at, &node->age_s) &&
                    field(at, here, sizeof here);
        skip_line(at);
        if (!whole)
            continue;
        node->cores = (unsigned)cores;
        node->memory_free_bytes = (unsigned long)memory;
        node->vms = (unsigned)vms;
        node->here = !strcmp(here, "here");
        return 1;
    }
    return 0;
}

int radics_mesh_next_source(const char **at, struct radics_mesh_source *source)
{
    while (find(at, "source")) {
        int whole = field(at, source->name, sizeof source->name) &&
                    field(at, source->publisher, sizeof source->publisher) &&
                    number(at, &source->age_s);
        skip_line(at);
        if (whole)
            return 1;
    }
    return 0;
}
