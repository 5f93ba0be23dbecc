/* zlib: every level and strategy forth and back, files, checksums, and damage that must be found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define SIZE 200000
static unsigned char plain[SIZE], packed[SIZE * 2], back[SIZE + 100];

static void make(int kind)
{
    unsigned seed = 12345;
    for (int i = 0; i < SIZE; i++) {
        seed = seed * 1103515245 + 12345;
        plain[i] = (unsigned char)(kind == 0 ? 'a' + i / 1000 % 26 : kind == 1 ? "the quick brown fox "[i % 20] + (seed >> 28 == 0) : seed >> 16);
    }
}

static void stream(int level, int bits, int strategy)
{
    z_stream s = {0};
    deflateInit2(&s, level, Z_DEFLATED, bits, 8, strategy);
    s.next_in = plain, s.next_out = packed;
    for (int r = Z_OK; r == Z_OK;) { /* in small pieces */
        if (!s.avail_in)
            s.avail_in = (uInt)(SIZE - s.total_in < 777 ? SIZE - s.total_in : 777);
        s.avail_out = 333;
        r = deflate(&s, s.total_in + s.avail_in == SIZE ? Z_FINISH : Z_NO_FLUSH);
    }
    uLong length = s.total_out;
    deflateEnd(&s);
    z_stream d = {0};
    inflateInit2(&d, bits);
    d.next_in = packed, d.avail_in = (uInt)length, d.next_out = back, d.avail_out = sizeof back;
    int r = inflate(&d, Z_FINISH);
    printf("%d %d %d: %lu %d %d\n", level, bits, strategy, length, r == Z_STREAM_END && d.total_out == SIZE, memcmp(plain, back, SIZE));
    inflateEnd(&d);
}

int main(void)
{
    printf("%s %d\n", zlibVersion(), zlibCompileFlags() != 0);
    printf("%08lx %08lx\n", crc32(0, (const Bytef *)"123456789", 9), adler32(1, (const Bytef *)"Wikipedia", 9));
    for (int kind = 0; kind < 3; kind++) {
        make(kind);
        printf("%08lx\n", crc32(0, plain, SIZE));
        for (int level = 0; level <= 9; level += 3)
            stream(level, 15, Z_DEFAULT_STRATEGY);
        stream(6, -12, Z_DEFAULT_STRATEGY);
        stream(6, 31, Z_FIXED);
        stream(6, 15, Z_RLE);
        stream(6, 15, Z_HUFFMAN_ONLY);
    }
    make(1);
    uLongf length = sizeof packed, whole = SIZE;
    compress2(packed, &length, plain, SIZE, 9);
    printf("%lu %lu\n", length, compressBound(SIZE));
    int found = 0, tried = 0;
    for (uLong at = 2; at < length; at += length / 40, tried++) {
        packed[at] ^= 0x10;
        whole = SIZE;
        found += uncompress(back, &whole, packed, length) != Z_OK;
        packed[at] ^= 0x10;
    }
    printf("damage found %d of %d\n", found, tried);
    gzFile f = gzopen("check.gz", "wb9");
    for (int i = 0; i < 3000; i++)
        gzprintf(f, "line %d\n", i);
    gzclose(f);
    f = gzopen("check.gz", "rb");
    char line[64];
    int lines = 0;
    while (gzgets(f, line, sizeof line))
        lines++;
    gzseek(f, 6, SEEK_SET);
    printf("%d %s", lines, gzgets(f, line, sizeof line));
    printf("%d\n", gzclose(f));
    unlink("check.gz");
    return 0;
}
